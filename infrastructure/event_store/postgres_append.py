"""PostgreSQL's append: one call takes the lock, writes events and rows, and tells whoever listens.

The table of events is the eventsourcing library's, so that its recorders read it; the call takes the place of their own
insert, whose table lock stands in the way of VACUUM and whose pipeline hangs on large saves. See ADR/0015.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from milepost.infrastructure.audit.chain import GENESIS
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.codec import EventRow
from milepost.infrastructure.event_store.postgres import channel_of, lock_key
from milepost.infrastructure.event_store.postgres_recorder import events_table_statements
from milepost.infrastructure.event_store.read_models import FARING
from milepost.infrastructure.event_store.schema import (
    EVENTS_TABLE,
    checkpoints,
    jobs,
    leases,
    refusals,
    status_changes,
    steps,
    tombstones,
)

_ANY_TEXT: Final = ("progress", "errors")  # columns of the steps that may hold commas
_TYPES: Final = {sa.Integer: "integer", sa.Float: "double precision"}


def create_events_table(connection: sa.Connection, schema: str) -> None:
    """With the tables that change most."""
    for statement in events_table_statements(schema, EVENTS_TABLE):
        connection.exec_driver_sql(statement)
    # An update that finds room on its row's page leaves the indexes alone.
    for table in (jobs, steps, leases):
        connection.exec_driver_sql(f"ALTER TABLE {schema}.{table.name} SET (fillfactor = 60)")
    add_chain(connection, schema)


def add_chain(connection: sa.Connection, schema: str) -> None:
    """The column beside the library's own."""
    connection.exec_driver_sql(f"ALTER TABLE {schema}.{EVENTS_TABLE} ADD COLUMN chain bytea")


def create_append(connection: sa.Connection, schema: str) -> None:
    """The function that `append` calls. It makes the links that `milepost.infrastructure.audit.chain` describes."""
    faring = ", ".join(f"{name}_s {'text[]' if name in _ANY_TEXT else 'text'}" for name in FARING)
    columns = ", ".join(f"{name}_s" if name in _ANY_TEXT else _split(f"{name}_s", name) for name in FARING)
    changes = ", ".join(f"{name} = new.{name}" for name in FARING)
    connection.exec_driver_sql(
        f"""
        CREATE OR REPLACE FUNCTION {schema}.milepost_append(
            of_job uuid, version_before bigint, topics text, states bytea[],
            job_row json, resets boolean, planned json, step_s text, {faring},
            changes json, rests boolean, ends boolean
        ) RETURNS void LANGUAGE plpgsql AS $body$
        DECLARE
            names bytea[];
            newest bytea;
            links bytea[] := '{{}}';
            of_event bytea;
            place bigint := 0;
        BEGIN
            PERFORM pg_advisory_xact_lock({lock_key(schema)});
            SELECT chain INTO newest FROM {schema}.{EVENTS_TABLE}
                WHERE originator_id = of_job AND originator_version = version_before;
            -- A worker that was frozen until its job was over and pruned: its version is taken, too.
            IF NOT FOUND AND version_before > 0
                AND EXISTS (SELECT 1 FROM {schema}.{tombstones.name} WHERE job_id = of_job::text)
            THEN
                RAISE unique_violation;
            END IF;
            newest := coalesce(newest, '\\x{GENESIS.hex()}'::bytea);
            SELECT array_agg(int4send(length(name)) || name ORDER BY at) INTO names FROM (
                SELECT convert_to(topic, 'UTF8') AS name, at
                FROM unnest(string_to_array(topics, ',')) WITH ORDINALITY AS given(topic, at)
            ) AS named;
            FOREACH of_event IN ARRAY states LOOP
                place := place + 1;
                newest := sha256(
                    newest || uuid_send(of_job) || int8send(version_before + place) || names[place] || of_event
                );
                links := array_append(links, newest);
            END LOOP;
            INSERT INTO {schema}.{EVENTS_TABLE} (originator_id, originator_version, topic, state, chain)
                SELECT of_job, version_before + new.place, new.topic, new.state, new.link
                FROM unnest(string_to_array(topics, ','), states, links)
                    WITH ORDINALITY AS new(topic, state, link, place)
                ORDER BY new.place;
            IF resets THEN
                DELETE FROM {schema}.{steps.name} WHERE job_id = of_job::text;
            END IF;
            {_upsert(schema, jobs, "json_populate_record", "job_row")};
            IF planned IS NOT NULL THEN
                {_upsert(schema, steps, "json_populate_recordset", "planned")};
            END IF;
            IF step_s IS NOT NULL THEN
                UPDATE {schema}.{steps.name} AS old SET {changes}
                FROM unnest({_split("step_s", "step")}, {columns}) AS new(step, {", ".join(FARING)})
                WHERE old.job_id = of_job::text AND old.step = new.step;
            END IF;
            IF changes IS NOT NULL THEN
                INSERT INTO {schema}.{status_changes.name}
                    SELECT * FROM json_populate_recordset(NULL::{schema}.{status_changes.name}, changes);
            END IF;
            IF rests THEN
                DELETE FROM {schema}.{leases.name} WHERE job_id = of_job::text;
            END IF;
            IF ends THEN
                DELETE FROM {schema}.{checkpoints.name} WHERE job_id = of_job::text;
                DELETE FROM {schema}.{refusals.name} WHERE job_id = of_job::text;
            END IF;
            PERFORM pg_notify('{channel_of(schema)}', '');
        END
        $body$
    """.replace("%", "%%")
    )


def append(connection: sa.Connection, batch: Batch, events: list[EventRow], rests: bool, ends: bool) -> None:
    """Write a batch. Raises IntegrityError when one of its versions is taken."""
    planned = [dict(zip(steps.c.keys(), row, strict=True)) for row in batch.planned_steps()]
    changed = batch.changed_steps()
    *columns, _, indexes = zip(*changed, strict=True) if changed else [()] * (len(FARING) + 2)
    changes = batch.status_rows()
    connection.exec_driver_sql(
        _CALL,
        (
            str(batch.after.id),
            batch.before.version,
            ",".join(topic for _, _, topic, _ in events),
            [state for _, _, _, state in events],
            json.dumps(batch.job_row()),
            batch.resets_steps,
            json.dumps(planned) if planned else None,
            _joined(indexes) or None,
            *(_column(name, values) for name, values in zip(FARING, columns, strict=True)),
            json.dumps(changes) if changes else None,
            rests,
            ends,
        ),
    )


def _upsert(schema: str, table: sa.Table, populate: str, source: str) -> str:
    keys = [column.name for column in table.primary_key.columns]
    changed = ", ".join(f'"{column.name}" = excluded."{column.name}"' for column in table.c if column.name not in keys)
    return (
        f"INSERT INTO {schema}.{table.name} SELECT * FROM {populate}(NULL::{schema}.{table.name}, {source})"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"
    )


def _split(text: str, name: str) -> str:
    """A column's values in SQL, from what `_joined` makes of them."""
    return f"string_to_array({text}, ',', '')::{_type(steps.c[name])}[]"


def _joined(values: Sequence[Any]) -> str:
    """A column's values with commas between: an array is much dearer to write, for each text in it is searched."""
    return ",".join(["" if value is None else str(value) for value in values])


def _column(name: str, values: Sequence[Any]) -> object:
    if name not in _ANY_TEXT:
        return _joined(values)
    return None if all(value is None for value in values) else list(values)


def _type(column: sa.Column[Any]) -> str:
    return next((name for kind, name in _TYPES.items() if isinstance(column.type, kind)), "text")


_CALL: Final = (
    "SELECT milepost_append(%s::uuid, %s::bigint, %s::text, %b::bytea[], %s::json, %s::boolean, %s::json,"
    f" %s::text, {', '.join('%s::text[]' if name in _ANY_TEXT else '%s::text' for name in FARING)},"
    " %s::json, %s::boolean, %s::boolean)"
)
