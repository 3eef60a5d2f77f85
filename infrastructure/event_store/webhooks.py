"""Who is told of what: webhooks, how far each has been told, and which process tells it now. See ADR/0018."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.errors import JobError
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.all_streams import newest_key
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.lease_time import webhook_held
from milepost.infrastructure.event_store.read_models import insert
from milepost.infrastructure.event_store.schema import webhooks

FAILURE_MOST: Final = 500  # characters of it that are kept


class WebhookNameTaken(JobError):
    """There is a webhook of that name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is a webhook '{name}' already.")


class WebhookNotFound(JobError):
    """No webhook has that name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no webhook '{name}'.")


@dataclass(frozen=True, slots=True)
class Wish:
    """A webhook that is wanted. `namespace`, `types`: those that it is about (None: all)."""

    name: str
    url: str
    secret: str = field(repr=False)
    occasions: tuple[str, ...]
    namespace: str | None = None
    types: tuple[str, ...] | None = None
    from_start: bool = False  # also of what has happened already


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it stands. `place`: the event that it was last told of, or need not be told of (None: the start).

    `failures`: tries in vain of the event that is next, `failing_since` the first of them. `held`: a process is
    delivering for it now, by a lease until `held_until`.
    """

    id: str
    name: str
    url: str
    secret: str = field(repr=False)
    occasions: tuple[str, ...]
    namespace: str | None
    types: tuple[str, ...] | None
    created_at: str
    created_by: str
    place: EventKey | None
    delivered: int
    last_success_at: str | None
    last_failure_at: str | None
    last_failure: str | None
    failures: int
    failing_since: float | None
    next_try_at: float | None
    paused: str | None
    held: bool
    held_until: float | None

    def is_about(self, namespace: str, job_type: str) -> bool:
        """Whether jobs of that namespace and type are any of its business."""
        return self.namespace in (None, namespace) and (self.types is None or job_type in self.types)


_AFRESH: Final[Mapping[str, int | None]] = {"failures": 0, "failing_since": None, "next_try_at": None}
_FREE: Final[Mapping[str, None]] = {"holder": None, "expires_at": None, "seconds": None}


class Webhooks:
    """The webhooks of one event store."""

    def __init__(self, database: Database, surroundings: Surroundings) -> None:
        self._database = database
        self._surroundings = surroundings

    # What operators ask for

    def add(self, wish: Wish, created_by: str) -> Webhook:
        """Told of what happens from now on, unless it wishes for the past too. Raises WebhookNameTaken."""
        with self._database.write() as connection:
            if connection.scalar(sa.select(webhooks.c.id).where(webhooks.c.name == wish.name)) is not None:
                raise WebhookNameTaken(wish.name)
            row: dict[str, Any] = {
                **dict.fromkeys(webhooks.c.keys()),
                "id": str(self._surroundings.new_id()),
                "name": wish.name,
                "url": wish.url,
                "secret": wish.secret,
                "occasions": json.dumps(wish.occasions),
                "namespace": wish.namespace,
                "types": None if wish.types is None else json.dumps(wish.types),
                "created_at": self._moment(),
                "created_by": created_by,
                # Under the write lock: whatever is committed later is behind it.
                **_at(None if wish.from_start else newest_key(connection)),
                "delivered": 0,
                "failures": 0,
            }
            connection.exec_driver_sql(insert(webhooks, connection.dialect.name), tuple(row.values()))
            return self._one(connection, wish.name)

    def remove(self, name: str) -> Webhook:
        """It is told of nothing more. Raises WebhookNotFound."""
        with self._database.write() as connection:
            found = self._one(connection, name)
            connection.execute(webhooks.delete().where(webhooks.c.id == found.id))
        return found

    def pause(self, name: str, why: str) -> Webhook:
        """It is told of nothing until it is resumed, and of all then. Raises WebhookNotFound."""
        return self._change(name, {"paused": sa.func.coalesce(webhooks.c.paused, why)})

    def resume(self, name: str, *, from_now: bool = False) -> Webhook:
        """Go on at once; `from_now` leaves out what has happened until now. Raises WebhookNotFound."""
        with self._database.write() as connection:
            found = self._one(connection, name)
            place = newest_key(connection) if from_now else found.place
            changed = {"paused": None, **_at(place), **_AFRESH, **_FREE}
            connection.execute(webhooks.update().where(webhooks.c.id == found.id).values(changed))
            return self._one(connection, name)

    def skip(self, webhook: Webhook, place: EventKey) -> Webhook:
        """Leave out the event there, which it cannot be told of, and go on. Raises WebhookNotFound."""
        with self._database.write() as connection:
            connection.execute(
                webhooks.update().where(_stands(webhook)).values({"paused": None, **_at(place), **_AFRESH, **_FREE})
            )
            return self._one(connection, webhook.name)

    def _change(self, name: str, values: Mapping[str, object]) -> Webhook:
        with self._database.write() as connection:
            found = self._one(connection, name)
            connection.execute(webhooks.update().where(webhooks.c.id == found.id).values(values))
            return self._one(connection, name)

    # What both read

    def all(self) -> list[Webhook]:
        """By name."""
        with self._database.read() as connection:
            return self._found(connection, sa.true())

    def named(self, name: str) -> Webhook:
        """Raises WebhookNotFound."""
        with self._database.read() as connection:
            return self._one(connection, name)

    # What the process that delivers asks for; each holds the webhook by a lease, like a job

    def claim(self, webhook: Webhook, holder: str, seconds: float) -> bool:
        """Whether it is the holder's now: not when it is another's, or not as it was any more."""
        with self._database.write() as connection:
            now = self._now()
            mine = webhooks.update().where(
                _stands(webhook),
                webhooks.c.failures == webhook.failures,
                webhooks.c.paused.is_(None),
                sa.or_(webhooks.c.holder.is_(None), ~webhook_held(now)),
            )
            held = {"holder": holder, "expires_at": now + seconds, "seconds": seconds}
            return connection.execute(mine.values(held)).rowcount > 0

    def told(self, webhook: Webhook, holder: str, place: EventKey, seconds: float | None) -> bool:
        """It was told of the event there. Whether the holder may go on, for so many seconds (None: it has ended)."""
        with self._database.write() as connection:
            now = self._now()
            lease = _FREE if seconds is None else {"expires_at": now + seconds, "seconds": seconds}
            went_on = {
                **_at(place),
                "delivered": webhooks.c.delivered + 1,
                "last_success_at": self._moment(),
                **_AFRESH,
                **lease,
            }
            if not connection.execute(_held_by(webhook, holder).values(went_on)).rowcount:
                return False
            paused = connection.scalar(sa.select(webhooks.c.paused).where(webhooks.c.id == webhook.id))
            if paused is not None:
                connection.execute(_held_by(webhook, holder).values(_FREE))
            return paused is None and seconds is not None

    def failed(self, webhook: Webhook, holder: str, failure: str, next_try_at: float) -> None:
        """It could not be told; the holder lets go of it."""
        now = self._now()
        self._let_go(
            webhook,
            holder,
            {
                **self._failure(failure),
                "failures": webhooks.c.failures + 1,
                "failing_since": sa.func.coalesce(webhooks.c.failing_since, now),
                "next_try_at": next_try_at,
            },
        )

    def give_up(self, webhook: Webhook, holder: str, failure: str, why: str) -> None:
        """It is paused, for nobody knows when it could be told; it will be told of all once it is resumed."""
        self._let_go(
            webhook,
            holder,
            {**self._failure(failure), "failures": webhooks.c.failures + 1, "next_try_at": None, "paused": why},
        )

    def release(self, webhook: Webhook, holder: str) -> None:
        """The holder ends, or has nothing more to tell."""
        self._let_go(webhook, holder, {})

    def _let_go(self, webhook: Webhook, holder: str, values: Mapping[str, object]) -> None:
        with self._database.write() as connection:
            connection.execute(_held_by(webhook, holder).values({**values, **_FREE}))

    def lost(self, webhook: Webhook, why: str) -> bool:
        """Nobody knows what it is to be told next: it is paused. Whether that is news."""
        with self._database.write() as connection:
            mine = webhooks.update().where(_stands(webhook), webhooks.c.paused.is_(None))
            return connection.execute(mine.values(paused=why)).rowcount > 0

    def pass_over(self, webhook: Webhook, place: EventKey) -> None:
        """Nothing up to there is any of its business: nobody need look again."""
        with self._database.write() as connection:
            connection.execute(
                webhooks.update().where(_stands(webhook), webhooks.c.holder.is_(None)).values(_at(place))
            )

    def _failure(self, failure: str) -> dict[str, object]:
        kept = "".join(each if each.isprintable() else " " for each in failure)[:FAILURE_MOST]
        return {"last_failure_at": self._moment(), "last_failure": kept}

    def _one(self, connection: sa.Connection, name: str) -> Webhook:
        found = self._found(connection, webhooks.c.name == name)
        if not found:
            raise WebhookNotFound(name)
        return found[0]

    def _found(self, connection: sa.Connection, meant: sa.ColumnElement[bool]) -> list[Webhook]:
        held = webhook_held(self._now()).label("held")
        rows: Sequence[sa.RowMapping] = (
            connection.execute(sa.select(webhooks, held).where(meant).order_by(webhooks.c.name)).mappings().all()
        )
        return [_webhook(row) for row in rows]

    def _now(self) -> float:
        return self._surroundings.now().timestamp()

    def _moment(self) -> str:
        return self._surroundings.now().isoformat(timespec="microseconds")


def _held_by(webhook: Webhook, holder: str) -> sa.Update:
    """The fence: what was taken over, or changed by an operator, is not its holder's any more."""
    return webhooks.update().where(webhooks.c.id == webhook.id, webhooks.c.holder == holder)


def _at(place: EventKey | None) -> dict[str, object]:
    return {
        "place_job": None if place is None else str(place.job_id),
        "place_version": None if place is None else place.version,
    }


def _stands(webhook: Webhook) -> sa.ColumnElement[bool]:
    """Whether it is where it was when it was read."""
    at = _at(webhook.place)
    return sa.and_(webhooks.c.id == webhook.id, *(webhooks.c[name] == value for name, value in at.items()))


def _webhook(row: sa.RowMapping) -> Webhook:
    return Webhook(
        id=row["id"],
        name=row["name"],
        url=row["url"],
        secret=row["secret"],
        occasions=tuple(json.loads(row["occasions"])),
        namespace=row["namespace"],
        types=None if row["types"] is None else tuple(json.loads(row["types"])),
        created_at=row["created_at"],
        created_by=row["created_by"],
        place=None if row["place_job"] is None else EventKey(UUID(row["place_job"]), row["place_version"]),
        delivered=row["delivered"],
        last_success_at=row["last_success_at"],
        last_failure_at=row["last_failure_at"],
        last_failure=row["last_failure"],
        failures=row["failures"],
        failing_since=row["failing_since"],
        next_try_at=row["next_try_at"],
        paused=row["paused"],
        held=bool(row["held"]),
        held_until=row["expires_at"],
    )
