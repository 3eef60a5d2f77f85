"""The synchronous client. Safe to use from many threads."""

import time
from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

import httpx
from httpx_sse import EventSource

from milepost.interfaces.client.call import Call, Cursor, Paged
from milepost.interfaces.client.calls import Calls
from milepost.interfaces.client.errors import CannotConnect
from milepost.interfaces.client.following import (
    Following,
    ObserverEvent,
    ObserverShown,
    StreamEvent,
    job_heard,
    observer_heard,
)
from milepost.interfaces.client.line import TROUBLE, Attempts, Line
from milepost.interfaces.client.listening import Listening
from milepost.interfaces.client.patience import Patience
from milepost.interfaces.client.signatures import returning
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.service import AT_REST

P = ParamSpec("P")
T = TypeVar("T")


def _asks(call: Callable[Concatenate[Calls, P], Call[T]]) -> "Callable[Concatenate[Client, P], T]":
    """The method that asks this and gives the answer."""

    @wraps(call)
    def ask(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.ask(call(client.calls, *args, **kwargs))

    return returning(ask, call)


def _goes_through(paged: Callable[Concatenate[Calls, P], Paged[T]]) -> "Callable[Concatenate[Client, P], Iterator[T]]":
    """The method that asks for page after page."""

    @wraps(paged)
    def each(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        page_at = paged(client.calls, *args, **kwargs)
        cursor: Cursor = None
        while True:
            page = client.ask(page_at(cursor))
            yield from page.items
            if (cursor := page.next) is None:
                return

    return returning(each, paged, each_in=Iterator)


class Client:
    """A server's event store, seen from one namespace.

    `token`: where the server asks for one. `plain_http`: send it unencrypted to another machine all the same.
    All methods raise ClientError: CannotConnect, NothingFound, NotAllowed, InvalidInput, Refused, ServerFailed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        event_store: str = "default",
        namespace: str = "Default",
        timeout: float = 30.0,
        plain_http: bool = False,
    ) -> None:
        self.calls = Calls(event_store, namespace)
        self._line = Line(url, token, seconds=timeout, plain_http=plain_http)
        self._http = httpx.Client(
            headers=self._line.headers,
            timeout=self._line.timeout,
            verify=self._line.verify,
            trust_env=self._line.trust_env,
        )

    about = _asks(Calls.about)
    jobs = _asks(Calls.jobs)
    every_job = _goes_through(Calls.every_job)
    ids = _goes_through(Calls.ids)
    counts = _asks(Calls.counts)
    resolve = _asks(Calls.resolve)
    beginning = _asks(Calls.beginning)
    shortened = _asks(Calls.shortened)
    job = _asks(Calls.job)
    steps = _goes_through(Calls.steps)
    diff = _asks(Calls.diff)
    compare = _asks(Calls.compare)
    history = _goes_through(Calls.history)
    events = _asks(Calls.events)
    why = _asks(Calls.why)
    start = _asks(Calls.start)
    stop = _asks(Calls.stop)
    resume = _asks(Calls.resume)
    cancel = _asks(Calls.cancel)
    remove = _asks(Calls.remove)
    change = _asks(Calls.change)
    prune = _asks(Calls.prune)
    job_types = _asks(Calls.job_types)
    type_problems = _asks(Calls.type_problems)
    job_type = _asks(Calls.job_type)
    workers = _asks(Calls.workers)
    namespaces = _asks(Calls.namespaces)
    check = _asks(Calls.check)
    observers = _asks(Calls.observers)
    observer = _asks(Calls.observer)
    observer_history = _goes_through(Calls.observer_history)
    observer_events = _asks(Calls.observer_events)
    pause_observer = _asks(Calls.pause_observer)
    unpause_observer = _asks(Calls.unpause_observer)
    change_observer = _asks(Calls.change_observer)
    replay_observer = _asks(Calls.replay_observer)
    catch_up_observer = _asks(Calls.catch_up_observer)
    rebuild_index = _asks(Calls.rebuild_index)
    start_on_observer = _asks(Calls.start_on_observer)
    every_failed_partition = _goes_through(Calls.every_failed_partition)
    failed_partitions = _asks(Calls.failed_partitions)
    failed_partition = _asks(Calls.failed_partition)
    retry_partition = _asks(Calls.retry_partition)
    skip_partition = _asks(Calls.skip_partition)
    change_partition = _asks(Calls.change_partition)
    diagnose = _asks(Calls.diagnose)

    def wait(self, job_id: str, *, timeout: float | None = None) -> JobDocument:
        """The job once it is at rest. Raises TimedOut; outlives a server that does not answer for a while."""
        patience = Patience(job_id, timeout)
        seen: JobDocument | CannotConnect = self.job(job_id)
        while isinstance(seen, CannotConnect) or seen.status not in AT_REST:
            time.sleep(patience.after(seen))
            try:
                seen = self.job(job_id)
            except CannotConnect as trouble:
                seen = trouble
        return seen

    def stream(
        self, job_id: str | None = None, *, after: str | None = None, patience: float = 60.0
    ) -> Iterator[StreamEvent]:
        """Each event of the namespace's jobs, or of one job, once and in order, from now on or behind `after`.

        A stream that is cut goes on where it was. Raises CannotConnect when it cannot for `patience` seconds.
        """
        return self._follow(Following(self._line, self.calls.stream_path(job_id), after, patience, job_heard))

    def stream_observers(
        self, *, after: str | None = None, patience: float = 60.0
    ) -> Iterator[ObserverEvent | ObserverShown]:
        """How the namespace's observers stand, whenever that changes, and each event of their histories once.

        From now on, or behind `after`. A stream that is cut goes on where it was. Raises CannotConnect when it cannot
        for `patience` seconds.
        """
        path = self.calls.observers_stream_path
        return self._follow(Following(self._line, path, after, patience, observer_heard))

    def listen(self) -> Listening:
        """One connection to the namespace's stream, to be closed from any thread. Raises ClientError."""
        return Listening(self._http, self._line, self.calls.stream_path(None))

    def ask(self, call: Call[T]) -> T:
        """The answer to this. Raises ClientError."""
        attempts = Attempts(self._line, call)
        while True:
            try:
                response = self._http.request(**self._line.request(call))
            except TROUBLE as error:
                pause = attempts.failed(error)
            else:
                if (again := attempts.answered(response)) is None:
                    return attempts.answer(response)
                pause = again
            time.sleep(pause)

    def _follow(self, following: Following[T]) -> Iterator[T]:
        while True:
            try:
                with self._http.stream(**following.request()) as response:
                    if following.is_open(response):
                        for sse in EventSource(response).iter_sse():
                            if event := following.heard(sse):
                                yield event
                        pause = following.cut(None)
                    else:
                        response.read()
                        pause = following.refused(response)
            except TROUBLE as error:
                pause = following.cut(error)
            time.sleep(pause)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
