"""Calls an observer's code on some events under a savepoint: all effects or none, whatever that code does or raises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from milepost.domain.observers.errors import ObserverError
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.observers.observer import Effects, Observed, Observer

_OURS: Final = "milepost_batch"  # a savepoint that stands as long as nobody has ended our transaction
_NO_SAVEPOINT: Final = ("3B001", "25P01", "25P02")  # SQLSTATEs: no such savepoint, no transaction, one that has failed
_NO_SAVEPOINT_SAID: Final = "no such savepoint"  # by SQLite


class TransactionEnded(ObserverError):
    """The handler ended the transaction that it was given: what it wrote may be there twice, so nobody goes on."""

    def __init__(self, observer: str) -> None:
        self.observer = observer
        super().__init__(
            f"The handler of observer '{observer}' ended the transaction of its effects, by a COMMIT or a ROLLBACK:"
            " what it wrote may be there twice. Mend it, and replay the observer."
        )


class HandlerLeft(Exception):
    """The handler raised what is meant to end a program or a step: that is its event's failure, too."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(f"the handler raised {type(raised).__name__}: {raised}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for an event that the application's code cannot read."""

    error: Exception


def trier(declared: type[Observer], effects: Effects, database: Database) -> Callable[[Sequence[Observed]], None]:
    """What hands events to the observer, with all their effects or none.

    It raises what the handler raises; where the connection is broken or the transaction was ended it raises
    DatabaseUnavailable, CannotOpenDatabase or TransactionEnded: then everything that was done in it is void.
    """
    connection = effects.connection
    connection.exec_driver_sql(f"SAVEPOINT {_OURS}")

    def attempt(events: Sequence[Observed]) -> None:
        for each in events:
            if isinstance(each.event, Unreadable):
                raise each.event.error
        try:
            with connection.begin_nested():
                declared().handle_batch(events, effects)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            broken = _broken(connection)
            if broken is None:  # also where a database of the handler's own does not answer
                raise error if isinstance(error, Exception) else HandlerLeft(error) from error
            trouble = database.trouble(error) if isinstance(error, Exception) else None
            if _says_ended(error) or (trouble is None and _says_ended(broken)):
                raise TransactionEnded(declared.name) from error
            raise trouble or database.trouble(broken) or broken from error

    return attempt


def _says_ended(error: BaseException) -> bool:
    """Whether it is that a savepoint of ours is not there any more; SQLite drops it by itself when a disk is full."""
    cause: object = getattr(error, "orig", error)
    return getattr(cause, "sqlstate", None) in _NO_SAVEPOINT or _NO_SAVEPOINT_SAID in str(cause)


def _broken(connection: sa.Connection) -> Exception | None:
    """What says that our transaction is over; None where it goes on."""
    try:
        connection.exec_driver_sql(f"RELEASE SAVEPOINT {_OURS}")
        connection.exec_driver_sql(f"SAVEPOINT {_OURS}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the transaction cannot be used
        return error
    return None
