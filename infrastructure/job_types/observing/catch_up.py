"""`catch-up-observer`: handles what an observer is behind on, up to the newest event of its beginning."""

from milepost.domain.observers.events import Held
from milepost.infrastructure.job_types.job_type import job_type
from milepost.infrastructure.job_types.observing.whole import ObserverRequest, WholeObserverJob


@job_type("catch-up-observer")
class CatchUpObserver(WholeObserverJob[ObserverRequest]):
    """Handles what an observer is behind on; live events go on from there."""

    def holds(self, request: ObserverRequest) -> Held:
        return "catch-up"
