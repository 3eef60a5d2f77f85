"""What is left of pruned jobs: who pruned them and when, and which events stand before those that are gone."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.job_not_found import Tombstone
from milepost.infrastructure.event_store.schema import tombstones, webhooks

_TOLD: Final[tuple[sa.Column[Any], ...]] = (
    tombstones.c.job_id,
    tombstones.c.namespace,
    tombstones.c.type,
    tombstones.c.status,
    tombstones.c.versions,
    tombstones.c.head,
    tombstones.c.pruned_at,
    tombstones.c.actor,
    tombstones.c.reason,
    tombstones.c.archive,
)

# From which of its versions on, and the event before it that is another job's; none: it was the very first.
Place = tuple[int, EventKey | None]


def find(connection: sa.Connection, job_id: UUID | str) -> Tombstone | None:
    """That of a job; None where it was not pruned."""
    row = connection.execute(sa.select(*_TOLD).where(tombstones.c.job_id == str(job_id))).one_or_none()
    return None if row is None else Tombstone(*row)


def beginning(connection: sa.Connection, namespace: str, prefix: str, limit: int) -> list[Tombstone]:
    """Those whose job's id begins so, newest first."""
    chosen = sa.select(*_TOLD).where(
        tombstones.c.namespace == namespace, tombstones.c.job_id >= prefix, tombstones.c.job_id < prefix + "g"
    )
    return [Tombstone(*row) for row in connection.execute(chosen.order_by(tombstones.c.job_id.desc()).limit(limit))]


def written(places: Sequence[Place]) -> str:
    """As they are kept."""
    return json.dumps([[version, *((str(key.job_id), key.version) if key else ())] for version, key in places])


def place_before(connection: sa.Connection, key: EventKey) -> EventKey | None:
    """The event before this one, which was pruned; None: it was the very first. Raises KeyError where it was not."""
    asked = sa.select(tombstones.c.versions, tombstones.c.places).where(tombstones.c.job_id == str(key.job_id))
    row = connection.execute(asked).one_or_none()
    if row is None or not 1 <= key.version <= row.versions:
        raise KeyError(key)
    places: list[list[Any]] = json.loads(row.places)
    index = bisect_right(places, key.version, key=lambda place: place[0]) - 1
    if index < 0:  # some of its events were not there any more when it was pruned
        raise KeyError(key)
    _, *at = places[index]
    return EventKey(UUID(at[0]), at[1]) if at else None


def lift(connection: sa.Connection, job_id: UUID) -> None:
    """Take a tombstone away: all events of its job are back, at the end of the log.

    A webhook that stands at one of them has not heard what was recorded since, so it goes on from where it stood.
    """
    at = (webhooks.c.id, webhooks.c.place_version)
    standing = connection.execute(sa.select(*at).where(webhooks.c.place_job == str(job_id))).all()
    for webhook, version in standing:
        before = place_before(connection, EventKey(job_id, version))
        place = (None, None) if before is None else (str(before.job_id), before.version)
        moved = webhooks.update().where(webhooks.c.id == webhook)
        connection.execute(moved.values(place_job=place[0], place_version=place[1]))
    connection.execute(tombstones.delete().where(tombstones.c.job_id == str(job_id)))


def namespace_of_pruned(connection: sa.Connection, key: EventKey) -> str | None:
    """The namespace that a pruned event was in; None where there was no such event."""
    asked = sa.select(tombstones.c.namespace).where(
        tombstones.c.job_id == str(key.job_id), tombstones.c.versions >= key.version
    )
    found: str | None = connection.scalar(asked)
    return found
