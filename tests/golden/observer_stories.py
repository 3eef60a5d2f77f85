"""Stories of observers that golden files are written from: what happened to one, in an order that has every event."""

from datetime import datetime, timedelta
from typing import Final

from milepost.domain.observers import events as o
from tests.golden.stories import BOOM

BEGINNING: Final = datetime.fromisoformat("2026-01-02T03:04:05.000678+00:00")
LATER: Final = BEGINNING + timedelta(minutes=5)
JOB: Final = "0199b4de-0000-7000-8000-000000000001"
OTHER: Final = "0199b4de-0000-7000-8000-000000000002"

OBSERVER_STORIES: Final[dict[str, tuple[o.ObserverEvent, ...]]] = {
    "failed-skipped-recovered": (
        o.ObserverRegistered(),
        o.PartitionFailed(partition="p-é", generation=1, position=7, attempt=1, error=BOOM, retry_at=LATER),
        o.PartitionFailed(partition="q", generation=1, position=8, attempt=3, error=BOOM, retry_at=None),
        o.PartitionRetryAsked(partition="q", generation=1, retry_at=LATER),
        o.PartitionSkipped(partition="p-é", generation=1, position=7, retry_at=LATER, then=9),
        o.PartitionAdvanced(partition="p-é", generation=1, job=JOB, position=11),
        o.PartitionRecovered(partition="p-é", generation=1, job=JOB),
        o.PartitionReplayBegan(partition="r", generation=1, job=OTHER, position=2, events=40),
    ),
    "paused-replayed-quarantined": (
        o.ObserverRegistered(),
        o.ObserverPaused(),
        o.ObserverUnpaused(),
        o.ObserverTaken(job=JOB, held="beside", generation=2, to=81_210),
        o.ObserverReleased(job=JOB, completed=True, generation=2),
        o.ObserverTaken(job=OTHER, held="catch-up", generation=2, to=81_220),
        o.ObserverReleased(job=OTHER, completed=False, generation=2),
        o.ObserverQuarantined(why="more than 100 partitions failed"),
        o.ObserverTaken(job=JOB, held="replay", generation=2, to=81_230),
    ),
}
