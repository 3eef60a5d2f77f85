"""Whoever waits for a job goes on waiting while the database does not answer."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.sqlite import SqliteDatabase
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.cli.jobs.waiting import looks_at
from milepost.interfaces.cli.session import Globals, Session
from tests.interfaces.furniture import Furniture


class Faltering(SqliteDatabase):
    """A database that does not answer the next `failures` times."""

    failures = 0

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        if self.failures > 0:
            self.failures -= 1
            raise DatabaseUnavailable(self.url, "disk I/O error", "Look after its disk, then try again.")
        with super().read() as connection:
            yield connection


@pytest.fixture
def faltering(jobs: Furniture) -> tuple[Session, Faltering]:
    session = Session(Globals())
    database = Faltering(resolve().url.value)
    vars(session.app)["database"] = database
    return session, database


def test_a_database_that_does_not_answer_is_waited_for_and_told_once(
    faltering: tuple[Session, Faltering], ids: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    session, database = faltering
    database.failures = 3

    job = next(looks_at(session, ids["stopped"]))

    assert job.status == "Stopped"
    assert capsys.readouterr().err.count("disk I/O error") == 1


def test_when_time_is_up_the_database_that_does_not_answer_is_the_error(
    faltering: tuple[Session, Faltering], ids: Mapping[str, str]
) -> None:
    session, database = faltering
    database.failures = 1_000_000

    with pytest.raises(DatabaseUnavailable):
        list(looks_at(session, ids["stopped"], 0.0))


def test_an_application_that_only_reads_has_the_database_that_it_was_given(jobs: Furniture) -> None:
    app = Application(resolve())

    assert app.reading is app.database
    app.close()
