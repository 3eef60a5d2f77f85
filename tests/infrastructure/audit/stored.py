"""The stored events as they lie in the table, and other hands that change them."""

from typing import Any
from uuid import UUID

from milepost.infrastructure.audit.chain import GENESIS, links
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE

EVENT = "originator_id=? AND originator_version=?"
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


def remove(database: Database, job_id: UUID, version: int) -> None:
    """Take one event out."""
    tamper(database, f"DELETE FROM {EVENTS_TABLE} WHERE {EVENT}", job_id.hex, version)


def renumber(database: Database, job_id: UUID, version: int, to: int) -> None:
    tamper(database, f"UPDATE {EVENTS_TABLE} SET originator_version=? WHERE {EVENT}", to, job_id.hex, version)


def swap(database: Database, job_id: UUID, one: int, other: int) -> None:
    for version, to in ((one, -1), (other, one), (-1, other)):
        renumber(database, job_id, version, to)


def set_state(database: Database, job_id: UUID, version: int, state: bytes) -> None:
    tamper(database, f"UPDATE {EVENTS_TABLE} SET state=? WHERE {EVENT}", state, job_id.hex, version)


def flip(database: Database, job_id: UUID, version: int) -> None:
    """One bit in the middle of an event."""
    state = bytearray(events_of(database, job_id)[version - 1][2])
    state[len(state) // 2] ^= 1
    set_state(database, job_id, version, bytes(state))


def forge_actor(database: Database, job_id: UUID, version: int, actor: bytes, by: bytes) -> None:
    state = events_of(database, job_id)[version - 1][2]
    assert actor in state
    set_state(database, job_id, version, state.replace(actor, by))


def chain_anew(database: Database, job_id: UUID) -> None:
    """As somebody would who knows how the links are made."""
    found = events_of(database, job_id)
    made = links(GENESIS, job_id, [each[:3] for each in found])
    for (version, *_), link in zip(found, made, strict=True):
        tamper(database, f"UPDATE {EVENTS_TABLE} SET chain=? WHERE {EVENT}", link, job_id.hex, version)


def remove_job(database: Database, job_id: UUID) -> None:
    """With all its rows, so that nothing is left to tell of it."""
    tamper(database, f"DELETE FROM {EVENTS_TABLE} WHERE originator_id=?", job_id.hex)
    tamper(database, "DELETE FROM milepost_jobs WHERE id=?", str(job_id))
    for table in ("milepost_steps", "milepost_status_changes"):
        tamper(database, f"DELETE FROM {table} WHERE job_id=?", str(job_id))
