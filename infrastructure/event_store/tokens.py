"""Who may ask over HTTP: tokens, of which the event store keeps only what recognises them."""

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Final

import sqlalchemy as sa

from milepost.domain.errors import JobError
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.read_models import insert
from milepost.infrastructure.event_store.schema import tokens

PREFIX: Final = "mp_"  # by which a secret is known where it should not be, in a log or a repository
SECRET_BYTES: Final = 32
# No "@", so that nobody takes a token for a user at a host.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAKEN: Final = frozenset({"system"})  # an actor of histories


class Role(IntEnum):
    """What a token may do; each may all that those before it may."""

    VIEWER = 1  # see
    OPERATOR = 2  # start, stop, resume, cancel, remove
    ADMIN = 3  # and prune histories


class RoleUnknown(JobError):
    """There is no such role."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no role '{name}'.")


class TokenNameTaken(JobError):
    """There is, or was, a token of that name: the history's actors would be taken for one another."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is, or was, a token '{name}': choose another name, for it stands in histories.")


class TokenNameInvalid(JobError):
    """That cannot be the name of a token."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} is no name for a token: use letters, digits, dots, dashes, underscores, 100 at most."
        )


class TokenNotFound(JobError):
    """No token has that name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no token '{name}'.")


@dataclass(frozen=True, slots=True)
class Token:
    """`namespaces`: those that it is for (None: all of the event store)."""

    digest: str = field(repr=False)
    name: str
    role: Role
    namespaces: tuple[str, ...] | None
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None

    def holds(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < datetime.fromisoformat(self.expires_at))

    def may_see(self, namespace: str) -> bool:
        """Whether it is for that namespace."""
        return self.namespaces is None or namespace in self.namespaces


class Tokens:
    """The tokens of one event store."""

    def __init__(self, database: Database, surroundings: Surroundings) -> None:
        self._database = database
        self._surroundings = surroundings

    def create(
        self,
        name: str,
        role: Role,
        *,
        created_by: str,
        namespaces: Collection[str] | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """The secret, which nobody can be told again. Raises TokenNameTaken, TokenNameInvalid."""
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise TokenNameInvalid(name)
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        row = (
            name,
            digest(secret),
            role.name.lower(),
            None if namespaces is None else json.dumps(sorted(namespaces)),
            self._surroundings.now().isoformat(timespec="microseconds"),
            created_by,
            None if expires_at is None else expires_at.isoformat(timespec="microseconds"),
            None,
        )
        with self._database.write() as connection:
            if connection.scalar(sa.select(tokens.c.name).where(tokens.c.name == name)) is not None:
                raise TokenNameTaken(name)
            connection.exec_driver_sql(insert(tokens, connection.dialect.name), row)
        return secret

    def revoke(self, name: str) -> bool:
        """Whether it held until now. Raises TokenNotFound."""
        now = self._surroundings.now().isoformat(timespec="microseconds")
        with self._database.write() as connection:
            if connection.scalar(sa.select(tokens.c.name).where(tokens.c.name == name)) is None:
                raise TokenNotFound(name)
            changed = connection.execute(
                tokens.update().where(tokens.c.name == name, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
            )
        return changed.rowcount > 0

    def all(self) -> list[Token]:
        """Also those that do not hold any more, oldest first."""
        return self._found(sa.select(tokens).order_by(tokens.c.created_at, tokens.c.name))

    def by_digest(self) -> dict[str, Token]:
        """Those that are not revoked, by what is kept of their secrets."""
        return {each.digest: each for each in self._found(sa.select(tokens).where(tokens.c.revoked_at.is_(None)))}

    def _found(self, chosen: sa.Select[tuple[object, ...]]) -> list[Token]:
        with self._database.read() as connection:
            rows: Sequence[sa.RowMapping] = connection.execute(chosen).mappings().all()
        return [
            Token(
                digest=row["digest"],
                name=row["name"],
                role=Role[row["role"].upper()],
                namespaces=None if row["namespaces"] is None else tuple(json.loads(row["namespaces"])),
                created_at=row["created_at"],
                created_by=row["created_by"],
                expires_at=row["expires_at"],
                revoked_at=row["revoked_at"],
            )
            for row in rows
        ]


def role_of(name: str) -> Role:
    """Raises RoleUnknown."""
    try:
        return Role[name.upper()]
    except KeyError:
        raise RoleUnknown(name) from None


def digest(secret: str) -> str:
    """What is kept of it. The secret is 256 random bits, so that nobody can try all: a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()
