"""The observers' part of the local service: what it takes is imported when observers are asked for, not by `jobs`."""

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from milepost.interfaces.bootstrap import Application
from milepost.interfaces.observer_documents import (
    DiagnosisDocument,
    FailedPartitionDocument,
    ObserverDocument,
    ObserverEventDocument,
    ObserverResult,
)
from milepost.interfaces.result_documents import EventStoreState, StartResult
from milepost.interfaces.service import ObserverCommand, ObserverJobAsked, PartitionCommand, StartAsked

if TYPE_CHECKING:
    from milepost.domain.envelope import Origin
    from milepost.interfaces.observer_service import ObserverService


class LocalObservers:
    """See `Service`."""

    def __init__(self, app: Application, namespace: str, origin_of: "Callable[[str], Origin]") -> None:
        self._app = app
        self.namespace = namespace
        self._origin_of = origin_of

    @abstractmethod
    def start(self, asked: StartAsked) -> StartResult:
        """As all jobs are started."""

    @abstractmethod
    def check(self, *, writing: bool = True) -> EventStoreState:
        """The event store itself."""

    @cached_property
    def _observing(self) -> "ObserverService":
        from milepost.interfaces.observer_service import ObserverService

        return ObserverService(self._app, self.namespace, self._origin_of, self.start)

    def observers(self) -> list[ObserverDocument]:
        return self._observing.observers()

    def observer(self, name: str) -> ObserverDocument:
        return self._observing.observer(name)

    def observer_history(self, name: str, *, after: int = 0, limit: int | None = None) -> list[ObserverEventDocument]:
        return self._observing.history(name, after=after, limit=limit)

    def change_observer(self, name: str, command: ObserverCommand, reason: str = "") -> ObserverResult:
        return self._observing.change(name, command, reason)

    def start_on_observer(self, name: str, asked: ObserverJobAsked) -> StartResult:
        return self._observing.start_job(name, asked)

    def failed_partitions(
        self, observer: str | None = None, *, limit: int = 100, after: tuple[str, str] | None = None
    ) -> list[FailedPartitionDocument]:
        return self._observing.failed_partitions(observer, limit=limit, after=after)

    def failed_partition(self, observer: str, partition: str) -> FailedPartitionDocument:
        return self._observing.failed_partition(observer, partition)

    def change_partition(
        self,
        observer: str,
        partition: str,
        command: PartitionCommand,
        reason: str = "",
        *,
        if_position: int | None = None,
    ) -> ObserverResult:
        return self._observing.change_partition(observer, partition, command, reason, if_position)

    def diagnose(self, *, writing: bool = True) -> DiagnosisDocument:
        """`writing`: whether it is also tried if the event store can be written."""
        from milepost.interfaces.diagnosis import Diagnosis

        store = self.check(writing=writing)
        return Diagnosis(self._app, self.namespace, self._observing).made(store, written=writing)
