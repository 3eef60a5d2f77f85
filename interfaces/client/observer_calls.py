"""Everything that a server can be asked of observers and failed partitions."""

from collections.abc import Mapping
from typing import Final

from milepost.interfaces.client.call import KEY, PAGE, Call, Cursor, Page, Paged, given, key_for, page_of, part, reader
from milepost.interfaces.client.errors import InvalidInput, NothingFound
from milepost.interfaces.documents import Json, from_json
from milepost.interfaces.observer_documents import (
    DiagnosisDocument,
    FailedPartitionDocument,
    ObserverDocument,
    ObserverEventDocument,
    ObserverResult,
)
from milepost.interfaces.result_documents import StartResult
from milepost.interfaces.service import ObserverCommand, ObserverJobAsked, PartitionCommand

NOTHING: Final[Mapping[str, Json]] = {}


class ObserverCalls:
    """What can be asked of a namespace's observers. `store`: the path of its event store."""

    def __init__(self, store: str, namespace: str) -> None:
        self.namespace = f"{store}/namespaces/{part(namespace)}"
        self._space = namespace

    def observers(self) -> Call[list[ObserverDocument]]:
        """All of them as they stand, by name."""
        return Call(
            path=f"{self.namespace}/observers",
            read=lambda told: [from_json(ObserverDocument, each) for each in told["observers"]],
        )

    def observer(self, name: str) -> Call[ObserverDocument]:
        """One of them."""
        return Call(path=self._observer(name), read=reader(ObserverDocument))

    def observer_history(self, name: str, *, after: int = 0) -> Paged[ObserverEventDocument]:
        """What has happened to it behind version `after`, oldest first."""
        return lambda cursor: self.observer_events(name, after=after if cursor is None else int(cursor))

    def observer_events(self, name: str, *, after: int = 0, limit: int = PAGE) -> Call[Page[ObserverEventDocument]]:
        """A page of that, of at most 1,000."""
        params = given(after=after, limit=limit)
        return Call(path=f"{self._observer(name)}/history", params=params, read=page_of("events", _event))

    def pause_observer(self, name: str, *, reason: str = "") -> Call[ObserverResult]:
        """Have it handle no live events until it is unpaused."""
        return self.change_observer(name, "pause", reason)

    def unpause_observer(self, name: str, *, reason: str = "") -> Call[ObserverResult]:
        """Have it go on where it was, also after a quarantine."""
        return self.change_observer(name, "unpause", reason)

    def change_observer(self, name: str, command: ObserverCommand, reason: str = "") -> Call[ObserverResult]:
        """Any of the two by its name."""
        return self._command(f"{self._observer(name)}/{command}", reason)

    def replay_observer(
        self,
        name: str,
        *,
        beside: bool = False,
        partition: str | None = None,
        parallel: int | None = None,
        reason: str = "",
        idempotency_key: str | None = None,
    ) -> Call[StartResult]:
        """Start a job that has it handle all events again: in place, `beside` what serves, or of one `partition`."""
        body: dict[str, Json] = {"beside": True} if beside else {}
        if partition is not None:
            body["partition"] = partition
        return self._job_on(name, "replay", body, parallel, reason, idempotency_key)

    def catch_up_observer(
        self, name: str, *, parallel: int | None = None, reason: str = "", idempotency_key: str | None = None
    ) -> Call[StartResult]:
        """Start a job that hands it what it is behind on."""
        return self._job_on(name, "catch-up", NOTHING, parallel, reason, idempotency_key)

    def rebuild_index(
        self, name: str, *, parallel: int | None = None, reason: str = "", idempotency_key: str | None = None
    ) -> Call[StartResult]:
        """Start a job that builds its tables anew, verifies and then swaps them."""
        return self._job_on(name, "rebuild-index", NOTHING, parallel, reason, idempotency_key)

    def start_on_observer(self, name: str, asked: ObserverJobAsked) -> Call[StartResult]:
        """Any of these jobs."""
        match asked.kind:
            case "catch-up":
                return self._job_on(name, "catch-up", NOTHING, asked.parallel, asked.reason, asked.command_id)
            case "rebuild":
                return self._job_on(name, "rebuild-index", NOTHING, asked.parallel, asked.reason, asked.command_id)
            case "replay" | "replay-beside" | "replay-partition":
                return self.replay_observer(
                    name,
                    beside=asked.kind == "replay-beside",
                    partition=asked.partition,
                    parallel=asked.parallel,
                    reason=asked.reason,
                    idempotency_key=asked.command_id,
                )

    # -- failed partitions

    def every_failed_partition(self, observer: str | None = None) -> Paged[FailedPartitionDocument]:
        """All that do not go on with the others, page by page, by observer and partition."""

        def page(cursor: Cursor) -> Call[Page[FailedPartitionDocument]]:
            params = given(observer=observer, limit=PAGE, after=cursor)
            return Call(path=f"{self.namespace}/failed-partitions", params=params, read=page_of("partitions", _failed))

        return page

    def failed_partitions(
        self, observer: str | None = None, *, limit: int = 100, after: tuple[str, str] | None = None
    ) -> Call[list[FailedPartitionDocument]]:
        """A page of them, at most 1,000, behind the one of that observer and partition."""
        params = given(observer=observer, limit=limit, after=None if after is None else "/".join(after))
        return Call(
            path=f"{self.namespace}/failed-partitions",
            params=params,
            read=lambda told: [_failed(each) for each in told["partitions"]],
        )

    def failed_partition(self, observer: str, partition: str) -> Call[FailedPartitionDocument]:
        """One of them, with its attempts, newest first."""
        return Call(path=self._partition(observer, partition), read=_failed)

    def retry_partition(
        self, observer: str, partition: str, *, reason: str = "", if_position: int | None = None
    ) -> Call[ObserverResult]:
        """Have it tried again at once; its attempts count anew. `if_position`: only while that event is the one."""
        return self.change_partition(observer, partition, "retry", reason, if_position=if_position)

    def skip_partition(
        self, observer: str, partition: str, *, reason: str, if_position: int | None = None
    ) -> Call[ObserverResult]:
        """Have the event that failed never be handled, and what waits behind it go on."""
        return self.change_partition(observer, partition, "skip", reason, if_position=if_position)

    def change_partition(
        self,
        observer: str,
        partition: str,
        command: PartitionCommand,
        reason: str = "",
        *,
        if_position: int | None = None,
    ) -> Call[ObserverResult]:
        """Any of the two by its name."""
        body: dict[str, Json] = {} if if_position is None else {"ifPosition": if_position}
        return self._command(f"{self._partition(observer, partition)}/{command}", reason, body)

    def diagnose(self) -> Call[DiagnosisDocument]:
        """Whether event store, workers, observers, failed partitions and jobs are as they should be."""
        return Call(path=f"{self.namespace}/diagnosis", read=reader(DiagnosisDocument))

    # -- a stream is no call: what is heard never ends

    @property
    def observers_stream_path(self) -> str:
        return f"{self.namespace}/observers/stream"

    def _command(self, path: str, reason: str, body: Mapping[str, Json] = NOTHING) -> Call[ObserverResult]:
        return Call(method="POST", path=path, body={**body, "reason": reason}, read=reader(ObserverResult))

    def _job_on(
        self, name: str, path: str, body: Mapping[str, Json], parallel: int | None, reason: str, key: str | None
    ) -> Call[StartResult]:
        if parallel is not None:
            body = {**body, "parallel": parallel}
        return Call(
            method="POST",
            path=f"{self._observer(name)}/{path}",
            body={**body, "reason": reason},
            headers={KEY: key_for(key)},
            read=reader(StartResult),
            own_key=key is None,
        )

    def _observer(self, name: str) -> str:
        return f"{self.namespace}/observers/{self._name(name)}"

    def _partition(self, observer: str, partition: str) -> str:
        if not partition:
            raise InvalidInput("It is not said which partition", "Name one")
        return f"{self.namespace}/failed-partitions/{self._name(observer)}/{part(partition)}"

    def _name(self, name: str) -> str:
        """As one part of a path. Raises NothingFound for what a server would take for none, or for two."""
        if not name or "/" in name:
            raise NothingFound(
                f"There is no observer '{name}' in namespace '{self._space}'.",
                "Use 'milepost observers list' to see those of this namespace",
            )
        return part(name)


def _event(told: Json) -> ObserverEventDocument:
    return from_json(ObserverEventDocument, told)


def _failed(told: Json) -> FailedPartitionDocument:
    return from_json(FailedPartitionDocument, told)
