"""How the read models of observers are read, while generations are swapped."""

from collections.abc import Generator
from contextlib import contextmanager

import sqlalchemy as sa

from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.observers.rows import at_home


@contextmanager
def reading(database: Database) -> Generator[sa.Connection]:
    """A transaction for reading tables of observers, under their plain names.

    On PostgreSQL each statement sees what is newest when it begins. A snapshot that is older than a swap must not be
    used there: the server finds the new table by its name, and then none of the rows that came after the snapshot.
    """
    with database.read() if database.schema is None else database.user_transaction(read_committed=True) as connection:
        yield at_home(connection, database)
