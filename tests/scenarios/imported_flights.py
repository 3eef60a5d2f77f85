"""Event stores into which flights were imported once in a run of the tests, for scenarios to begin with a copy."""

import fcntl
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import make_url

from tests.postgres import fresh_database
from tests.scenarios.workshop import Workshop, claims

NAME: Final = "flights"


class ImportedFlights:
    """Files are in `shared`, a folder of all processes that test; databases are on the server of this process."""

    def __init__(self, shared: Path, own: Path) -> None:
        shared.mkdir(exist_ok=True)
        self._shared = shared
        self._own = own
        self._databases: dict[str, str] = {}

    def copied(self, kind: str, folder: Path, months: Sequence[int], days: int | None = None) -> str:
        """The URL of an event store with the flights of these months, or of their first `days`: the caller's own.

        `kind`: in a `file` of that folder, or on a `server`.
        """
        name = f"{'-'.join(map(str, months))}-{days or 'all'}"
        if kind == "server":
            if name not in self._databases:
                self._databases[name] = fresh_database()
                work = self._own / name
                work.mkdir()
                import_flights(Workshop(work, NAME, url=self._databases[name]), months, days)
            return fresh_database(make_url(self._databases[name]).database or "")
        for file in self._files(name, months, days):
            shutil.copy(file, folder / file.name.replace(NAME, "jobs"))
        return f"sqlite:///{folder / 'jobs.sqlite'}"

    def _files(self, name: str, months: Sequence[int], days: int | None) -> list[Path]:
        work, done = self._shared / name, self._shared / f"{name}.done"
        with (self._shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed: the others wait for the one who imports
            if not done.exists():
                shutil.rmtree(work, ignore_errors=True)  # who began it may have failed
                work.mkdir()
                import_flights(Workshop(work, NAME), months, days)
                done.touch()
        return list(work.glob(f"{NAME}.sqlite*"))


def import_flights(workshop: Workshop, months: Sequence[int], days: int | None) -> None:
    """By a worker of the workshop, which is closed then, so that nobody is in its database."""
    with closing(workshop):
        job_id = workshop.start("import-flights", months=list(months))
        workshop.worker()
        if days is not None:
            import_only(workshop, job_id, days)
        else:
            workshop.until_status(job_id, "CompletedSuccessfully")
        assert claims(workshop.history(job_id)) == [1], "it was undisturbed"


def import_only(workshop: Workshop, job_id: UUID, days: int) -> None:
    """Give an import up for good when it has come so far: what it has imported stays."""
    workshop.until(job_id, lambda row: row.succeeded >= days, f"{days} days are imported")
    assert workshop.milepost("jobs", "cancel", str(job_id), "--yes").code == 0
    workshop.until_status(job_id, "Cancelled")
