"""A server of Milepost from Python: the names a program imports."""

from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.server_url import ServerUrlInvalid
from milepost.interfaces.client.asynchronous import AsyncClient
from milepost.interfaces.client.blocking import Client
from milepost.interfaces.client.errors import (
    CannotConnect,
    ClientError,
    InvalidInput,
    NotAllowed,
    NothingFound,
    Refused,
    ServerFailed,
    TimedOut,
    VersionChanged,
)
from milepost.interfaces.client.following import StreamEvent
from milepost.interfaces.service import StepsAsked

__all__ = [
    "AsyncClient",
    "CannotConnect",
    "Client",
    "ClientError",
    "InvalidInput",
    "JobFilter",
    "NotAllowed",
    "NothingFound",
    "Refused",
    "ServerFailed",
    "ServerUrlInvalid",
    "StepsAsked",
    "StreamEvent",
    "TimedOut",
    "VersionChanged",
]
