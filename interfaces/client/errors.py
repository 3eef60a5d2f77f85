"""What a server answers when it does not do what it was asked, and that it does not answer at all.

They are told as the same errors are told where no server is in between: the same words, the same exit codes.
"""

from typing import ClassVar, Final

from milepost.interfaces.documents import Json
from milepost.interfaces.error_mapping import (
    CANNOT_CONNECT,
    INVALID,
    NOT_ALLOWED,
    NOT_FOUND,
    REFUSED,
    SERVER_ERROR,
    TIMED_OUT,
    Told,
)


class ClientError(Told):
    """Why a call did not do what it was to do. `suggestion` says what to do, `status` what HTTP said, if it did."""

    kind: ClassVar[int] = SERVER_ERROR

    def __init__(self, message: str, suggestion: str = "", status: int | None = None) -> None:
        self.status = status
        super().__init__(self.kind, message, suggestion)


class ServerFailed(ClientError):
    """The server has met a defect, or is none of Milepost's."""


class CannotConnect(ClientError):
    """The server, or its event store, does not answer. It may later."""

    kind = CANNOT_CONNECT


class NothingFound(ClientError):
    """There is no such job, job type, namespace or event store, or none that the token is for."""

    kind = NOT_FOUND


class NotAllowed(ClientError):
    """No token that holds, or one whose role does not allow it."""

    kind = NOT_ALLOWED


class InvalidInput(ClientError):
    """What was given is not what is taken."""

    kind = INVALID


class Refused(ClientError):
    """The state of the job does not allow it."""

    kind = REFUSED


class VersionChanged(Refused):
    """The job is not at the version any more that the command was for: nothing was done."""


class TimedOut(ClientError):
    """It has not come to its end in time."""

    kind = TIMED_OUT


BAD_GATEWAY: Final = 502
BY_STATUS: Final[dict[int, type[ClientError]]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NothingFound,
    409: Refused,
    412: VersionChanged,
    421: NotAllowed,
    429: CannotConnect,
    BAD_GATEWAY: CannotConnect,
    503: CannotConnect,
    504: TimedOut,
}
GIVE_A_TOKEN: Final = "Give a token that holds: in MILEPOST_TOKEN, in a context's token file, or as Client(…, token=…)"
WHICH_SERVER: Final = "Check the server's URL"


def of_status(status: int) -> type[ClientError]:
    """The error that this status means."""
    fallback = InvalidInput if 400 <= status < 500 else ServerFailed
    return BY_STATUS.get(status, fallback)


def of_problem(status: int, body: Json, url: str) -> ClientError:
    """What an answer of this status tells; `body`: its JSON, None where it has none."""
    if not isinstance(body, dict) or "detail" not in body or "error" not in body:
        # Not from Milepost: from something in between, or from another program that listens there.
        cls = of_status(status) if status in (BAD_GATEWAY, 503, 504) else ServerFailed
        return cls(f"What answers at {url} is no Milepost server: it says {status}", WHICH_SERVER, status)
    told: dict[str, Json] = body  # pyright: ignore[reportUnknownVariableType]
    suggestion = GIVE_A_TOKEN if status == 401 else str(told.get("suggestion", ""))
    return of_status(status)(str(told["detail"]), suggestion, status)
