"""The stored events as they lie in the table, and other hands that change them."""

from typing import Any
from uuid import UUID

from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE

Stored = tuple[int, str, bytes, bytes | None]  # version, topic, state, chain


def events_of(database: Database, job_id: UUID) -> list[Stored]:
    asked = f"SELECT originator_version, topic, state, chain FROM {EVENTS_TABLE} WHERE originator_id=? ORDER BY 1"
    with database.read() as connection:
        rows = connection.exec_driver_sql(marked(database, asked), (job_id.hex,)).all()
    return [(version, topic, bytes(state), chain and bytes(chain)) for version, topic, state, chain in rows]


def tamper(database: Database, statement: str, *values: Any) -> None:
    """Run a statement, written with question marks, on the database behind Milepost's back."""
    with database.write() as connection:
        connection.exec_driver_sql(marked(database, statement), values)


def marked(database: Database, statement: str) -> str:
    return statement if database.engine.dialect.name == "sqlite" else statement.replace("?", "%s")
