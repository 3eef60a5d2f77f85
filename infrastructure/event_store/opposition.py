"""Which jobs wait until another one that has the same key has ended."""

from collections.abc import Collection

import sqlalchemy as sa

from milepost.infrastructure.event_store.schema import jobs

_other = jobs.alias()
_GIVEN_UP = sa.and_(jobs.c.status == "Cancelling", jobs.c.worker.is_(None))  # nobody runs its cleanup yet
# Whether another job must end first. One that takes the place of another waits until that one has ended, its cleanup
# included; a cleanup waits until whatever began under its key meanwhile has ended, and for older ones like it.
_OPPOSES = sa.and_(
    _other.c.namespace == jobs.c.namespace,
    _other.c.type == jobs.c.type,
    _other.c.key == jobs.c.key,
    _other.c.id != jobs.c.id,
    _other.c.live,
    _other.c.status != "Pending",
    sa.or_(jobs.c.status == "Pending", _GIVEN_UP),
    sa.or_(
        jobs.c.status == "Pending",
        _other.c.status != "Cancelling",
        _other.c.worker.is_not(None),
        _other.c.id < jobs.c.id,
    ),
)
UNOPPOSED = sa.or_(jobs.c.key.is_(None), ~sa.exists().where(_OPPOSES))


def rivals(connection: sa.Connection, ids: Collection[str]) -> dict[str, str]:
    """For each of these jobs that waits for the end of another one of its key, such another one."""
    chosen = sa.select(jobs.c.id, sa.func.min(_other.c.id)).where(jobs.c.id.in_(ids), _OPPOSES).group_by(jobs.c.id)
    return dict(connection.execute(chosen).all())
