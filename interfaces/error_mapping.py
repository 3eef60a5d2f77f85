"""What each error means to a caller: an exit code, a short word for programs, and what to do next.

Errors are known by name, so that a command which cannot meet an error does not import its module.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

OK: Final = 0
NOT_FOUND: Final = 1
CANNOT_CONNECT: Final = 2
SERVER_ERROR: Final = 3
NOT_ALLOWED: Final = 4
INVALID: Final = 5
REFUSED: Final = 6
TIMED_OUT: Final = 7
INTERRUPTED: Final = 130

# `wait`, `run` and `watch --exit-status`: how the job ended.
OUTCOMES: Final[Mapping[str, int]] = {
    "CompletedSuccessfully": 0,
    "CompletedWithFailures": 10,
    "Failed": 11,
    "Stopped": 12,
    "Cancelled": 13,
    "Removed": NOT_FOUND,
}

WORDS: Final[Mapping[int, str]] = {
    NOT_FOUND: "not_found",
    CANNOT_CONNECT: "connection_error",
    SERVER_ERROR: "server_error",
    NOT_ALLOWED: "not_allowed",
    INVALID: "validation_error",
    REFUSED: "refused",
    TIMED_OUT: "timeout",
    INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is told."""

    code: int
    message: str
    suggestion: str

    @property
    def word(self) -> str:
        return WORDS[self.code]


class Told(Exception):
    """An error that a command composes itself."""

    def __init__(self, code: int, message: str, suggestion: str = "") -> None:
        self.code, self.told, self.suggestion = code, message, suggestion
        super().__init__(message)


ANOTHER_ID: Final = "Give another --command-id: one id is for one command"
# The advice for who asks over HTTP, where there are headers in place of options.
OVER_HTTP: Final[Mapping[str, str]] = {
    "VersionMismatch": "Get the job again: its ETag is what If-Match takes",
    "CommandReused": "Give another Idempotency-Key: one key is for one command",
}

_Suggest = Callable[[Any], str]

_KNOWN: Final[Mapping[str, tuple[int, _Suggest]]] = {
    "Told": (SERVER_ERROR, lambda error: error.suggestion),
    "SettingsInvalid": (INVALID, lambda error: error.suggestion),
    "ServerUrlInvalid": (INVALID, lambda error: error.suggestion),
    "ContextNotFound": (NOT_FOUND, lambda error: error.suggestion),
    "ContextInvalid": (INVALID, lambda error: error.suggestion),
    "InvalidJobId": (INVALID, lambda _: "Use an id from 'milepost jobs list', or the beginning of one"),
    "JobPruned": (NOT_FOUND, lambda error: _brought_back(error.tombstone.archive)),
    "JobNotFound": (NOT_FOUND, lambda _: "Use 'milepost jobs list' to see all jobs of this namespace"),
    "AmbiguousJobId": (INVALID, lambda _: "Give more of the id"),
    "VersionUnknown": (NOT_FOUND, lambda error: f"Give one of 1 to {error.newest}: they count its events"),
    "NotBegun": (NOT_FOUND, lambda error: f"Give a time from {error.began.isoformat()} on"),
    "NotYet": (INVALID, lambda _: "Give a time that is past; what is so now is told without one"),
    "UnknownJobType": (NOT_FOUND, lambda _: "Use 'milepost types list' to see them; milepost.toml names more modules"),
    "RequestInvalid": (INVALID, lambda error: f"Use 'milepost types show {error.name}' to see what it takes"),
    "JobTypeBroken": (INVALID, lambda error: f"Correct {error.method}() of the job type {error.name!r}"),
    "IllegalTransition": (REFUSED, lambda error: _possible(error.possible)),
    "VersionMismatch": (REFUSED, lambda error: look_again(error.job_id)),
    "KeyTaken": (REFUSED, lambda error: f"Stop or cancel that one first: 'milepost jobs stop {error.holder}'"),
    "CommandReused": (REFUSED, lambda _: ANOTHER_ID),
    "QueueInvalid": (INVALID, lambda _: "Workers take from queues by name: 'milepost worker --queues NAME'"),
    "PriorityInvalid": (INVALID, lambda _: "Higher ones are taken first; 0 is what a job has that is given none"),
    "RoleUnknown": (INVALID, lambda _: "Use viewer, operator or admin"),
    "TokenNameInvalid": (INVALID, lambda _: "It stands in histories as the actor: name its user, and what it is for"),
    "TokenNameTaken": (REFUSED, lambda _: "'milepost tokens list' shows all names there were"),
    "TokenNotFound": (NOT_FOUND, lambda _: "'milepost tokens list' shows all there are"),
    "TextInvalid": (INVALID, lambda _: "Leave that character out"),
    "NothingStored": (NOT_FOUND, lambda _: "Look whether the id is whole, and --event-store the one it was started in"),
    "WebhookNotFound": (NOT_FOUND, lambda _: "Use 'milepost webhooks list' to see them"),
    "WebhookNameTaken": (INVALID, lambda _: "Give another one with --name, or remove that one first"),
    "UnknownOccasion": (INVALID, lambda error: f"Use --on with {', '.join(error.known)}"),
    "AddressRefused": (INVALID, lambda error: error.suggestion),
    "SecretInvalid": (INVALID, lambda _: "Give base64 of 24 to 64 random bytes, whsec_ in front; or let one be made"),
    "ObserverUnknown": (NOT_FOUND, lambda _: "Use 'milepost observers list' to see those of this namespace"),
    "ObserverNotDeclared": (
        NOT_FOUND,
        lambda _: "Use 'milepost observers list' to see them; milepost.toml names more modules",
    ),
    "PartitionNotFailed": (
        NOT_FOUND,
        lambda error: f"Use 'milepost failed-partitions list --observer {error.observer}' to see those that have",
    ),
    "PartitionUnknown": (NOT_FOUND, lambda _: "Partitions are written as 'milepost observers history' shows them"),
    "AmbiguousPartition": (INVALID, lambda _: "Give more of it"),
    "ObserverBusy": (REFUSED, lambda error: f"See where it stands with 'milepost jobs get {error.job}'"),
    "PartitionWentOn": (
        REFUSED,
        lambda error: f"Look again with 'milepost failed-partitions show {error.observer} {error.partition}'",
    ),
    "ObserverStandsStill": (REFUSED, lambda error: f"Have it go on with 'milepost observers unpause {error.observer}'"),
    "PartitionBusy": (REFUSED, lambda error: f"See where it stands with 'milepost observers show {error.observer}'"),
    "NotReplayable": (REFUSED, lambda _: "Give its class what it lacks: docs/observers.md shows what that is"),
    "JobError": (REFUSED, lambda _: ""),
    "CannotOpenDatabase": (
        CANNOT_CONNECT,
        lambda error: error.advice or "'milepost event-stores list' shows where its URL is from",
    ),
    "DatabaseUnavailable": (CANNOT_CONNECT, lambda error: error.advice),
    "ClusterUnusable": (CANNOT_CONNECT, lambda _: "docs/cluster.md says what a cluster needs"),
    "NotInstalled": (INVALID, lambda error: f"pip install 'milepost[{error.extra}]'"),
    "FileThere": (INVALID, lambda _: "Give another name, or --force to replace it"),
    "FileUnusable": (INVALID, lambda _: "Nothing was written"),
    "FileUnreadable": (INVALID, lambda _: "Look whether it is the right file, and whether you may read it"),
    "FormatUnknown": (INVALID, lambda _: "Nothing was done with it. Use the Milepost that wrote it, or a newer one"),
    "LinesInvalid": (INVALID, lambda _: "Nothing was done with it. Take another copy, from where it was kept"),
    "HistoryBroken": (INVALID, lambda _: "Nothing was written. 'milepost audit replay' shows the history up to there"),
    "HistoryGone": (
        REFUSED,
        lambda error: (
            f"Export again. Where it stays so, 'milepost audit verify {error.job_id}' tells what is gone;"
            " leave that job out"
        ),
    ),
    "ArchiveFailed": (
        SERVER_ERROR,
        lambda _: "Correct that, and prune again; 'milepost audit verify' examines histories",
    ),
    "NotInFile": (NOT_FOUND, lambda _: "Leave the id out to see all jobs of the file"),
    "SeveralInFile": (INVALID, lambda _: "Give more of the id"),
    "UnreadableEvent": (SERVER_ERROR, lambda _: "Use the version of Milepost that wrote it, or a newer one"),
}


def look_again(job_id: object) -> str:
    """The advice where a job has changed since it was seen."""
    return f"Look again with 'milepost jobs get {job_id}'"


def problem_of(error: Exception) -> Problem | None:
    """How the error is told; None where it is none of ours, which is a defect."""
    for cls in type(error).__mro__:
        if (known := _KNOWN.get(cls.__name__)) is not None:
            code, suggest = known
            return Problem(getattr(error, "code", code), getattr(error, "told", str(error)), suggest(error))
    return None


def _brought_back(archive: str | None) -> str:
    if archive is None:
        return "Its history is gone from the event store; an export that has it can be imported again"
    return "'milepost audit import' brings it back from that file; 'milepost audit replay' shows it"


def _possible(commands: tuple[str, ...]) -> str:
    return "Possible now: " + ", ".join(commands) if commands else "See where it stands with 'milepost jobs get'"
