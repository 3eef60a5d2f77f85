"""One consistent read of an audit, which what somebody made of a text does not end."""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa

from milepost.infrastructure.audit.side_by_side import Cursors
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.garbage import collection_paused

R = TypeVar("R")


def in_a_read(database: Database, read: Callable[[Cursors], R]) -> R:
    """What `read` makes of it; it is called again where somebody changed a byte of a text, so that it is none any more.

    Raises DatabaseUnavailable, CannotOpenDatabase.
    """
    try:
        return _read(database, read, strict=True)
    except sqlite3.OperationalError as error:
        if "UTF-8" not in str(error):
            raise
        return _read(database, read, strict=False)


def _read(database: Database, read: Callable[[Cursors], R], *, strict: bool) -> R:
    with (
        collection_paused(),
        database.read() as connection,
        _any_text(connection, strict=strict),
        Cursors(connection) as cursors,
    ):
        return read(cursors)


@contextmanager
def _any_text(connection: sa.Connection, *, strict: bool) -> Generator[None]:
    """Where not `strict`, bytes that are no text are read as text all the same, to be told as what they are."""
    if strict:
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.text_factory = _with_surrogates
    try:
        yield
    finally:
        driver.text_factory = str


def _with_surrogates(text: bytes) -> str:
    return text.decode(errors="surrogateescape")
