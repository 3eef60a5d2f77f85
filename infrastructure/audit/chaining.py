"""Gives the events that were stored before there were chains their links, page by page."""

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.event_store.schema import EVENTS_TABLE

PAGE: Final = 5_000
_ID: Final = re.compile("[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")

_UPDATE_SQLITE: Final = f"UPDATE {EVENTS_TABLE} SET chain=? WHERE originator_id=? AND originator_version=?"
_UPDATE_POSTGRES: Final = (
    f"UPDATE {EVENTS_TABLE} AS old SET chain = new.chain"
    " FROM unnest(%b::bytea[], %s::uuid[], %s::bigint[]) AS new(chain, originator_id, originator_version)"
    " WHERE old.originator_id = new.originator_id AND old.originator_version = new.originator_version"
)


def add(connection: sa.Connection) -> None:
    """The column, the links of all events that are there, and an append that goes on with them."""
    if connection.dialect.name == "sqlite":
        from milepost.infrastructure.event_store import recorder

        recorder.add_chain(connection)
        chain_all(connection)
        return
    from milepost.infrastructure.event_store import postgres_append

    schema: str = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    postgres_append.add_chain(connection, schema)
    chain_all(connection)
    postgres_append.create_append(connection, schema)


def chain_all(connection: sa.Connection) -> None:
    """Needs as much memory as a page. The links say what is there now, not what was there before."""
    job, previous = "", GENESIS
    page = _page(connection)
    while page:
        made: list[tuple[bytes, Any, int]] = []
        for originator, version, topic, state in page:
            if str(originator) != job:
                job, previous = str(originator), GENESIS
            if not _ID.fullmatch(job):
                continue  # no job's: an audit tells of it, and the others are needed
            previous = link(previous, UUID(job), version, topic, bytes(state))
            made.append((previous, originator, version))
        if made:
            _write(connection, made)
        page = _page(connection, page[-1][:2])


def _page(connection: sa.Connection, behind: tuple[Any, ...] = ()) -> Sequence[Any]:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    after = f" WHERE (originator_id, originator_version) > ({mark}, {mark})" if behind else ""
    asked = f"SELECT originator_id, originator_version, topic, state FROM {EVENTS_TABLE}{after}"
    in_order = f"{asked} ORDER BY originator_id, originator_version LIMIT {PAGE}"
    return connection.exec_driver_sql(in_order, tuple(behind)).fetchall()


def _write(connection: sa.Connection, made: list[tuple[bytes, Any, int]]) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_UPDATE_SQLITE, made)
        return
    connection.exec_driver_sql(_UPDATE_POSTGRES, tuple(map(list, zip(*made, strict=True))))
