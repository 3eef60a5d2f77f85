"""Why an observer refuses: each refusal is built from facts and leaves everything as it was."""

from milepost.domain.errors import JobError


class ObserverError(JobError):
    """An observer, or one of its partitions, refused what was asked. Nothing has changed."""


class ObserverBusy(ObserverError):
    """A job works on the observer as a whole."""

    def __init__(self, observer: str, asked: str, held: str, job: str) -> None:
        self.observer, self.asked, self.held, self.job = observer, asked, held, job
        doing = {"catch-up": "is catching it up", "replay": "replays it", "beside": "rebuilds it beside"}[held]
        super().__init__(f"Cannot {asked} observer '{observer}': job {job} {doing}. Wait for it, or cancel it.")


class ObserverStandsStill(ObserverError):
    """It is quarantined, and nothing but an operator's decision has it go on."""

    def __init__(self, observer: str, asked: str, why: str) -> None:
        self.observer, self.asked, self.why = observer, asked, why
        super().__init__(
            f"Cannot {asked} observer '{observer}': it is quarantined ({why}). 'unpause' has it go on, a replay begins"
            " anew."
        )


class PartitionNotFailed(ObserverError):
    """The partition has not failed: there is nothing to retry or to skip."""

    def __init__(self, observer: str, partition: str) -> None:
        self.observer, self.partition = observer, partition
        super().__init__(f"Partition {partition} of observer '{observer}' has not failed.")


class PartitionWentOn(ObserverError):
    """Another event than the one that was seen has failed by now."""

    def __init__(self, observer: str, partition: str, seen: int, failing: int) -> None:
        self.observer, self.partition, self.seen, self.failing = observer, partition, seen, failing
        super().__init__(
            f"Partition {partition} of observer '{observer}' has gone on: the event that fails is that at {failing},"
            f" not that at {seen}."
        )


class PartitionBusy(ObserverError):
    """The partition is being replayed, or the observer as a whole is."""

    def __init__(self, observer: str, partition: str, asked: str, why: str) -> None:
        self.observer, self.partition, self.asked, self.why = observer, partition, asked, why
        super().__init__(f"Cannot {asked} partition {partition} of observer '{observer}': {why}.")


class NotReplayable(ObserverError):
    """The observer does not say how its effects are undone, or not in the way that was asked for."""

    def __init__(self, observer: str, asked: str, missing: str) -> None:
        self.observer, self.asked, self.missing = observer, asked, missing
        super().__init__(f"Cannot {asked} observer '{observer}': {missing}.")
