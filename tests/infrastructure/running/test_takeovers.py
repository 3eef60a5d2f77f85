"""Recovery that cannot storm: how fast workers take over what dead ones have left."""

from collections import Counter
from random import Random

from milepost.domain.envelope import Origin
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.event_store.store import ClaimOffer, Wanted
from milepost.infrastructure.running.takeovers import BURST, PER_SECOND, Takeovers
from milepost.infrastructure.running.worker import Worker
from tests.infrastructure.running.conftest import MakeStage
from tests.infrastructure.running.stage import HandClock, Stage, turn_until
from tests.infrastructure.running.test_workers import gated
from tests.length import FULL

JOBS = 10_000 if FULL else 150
RUNNING, DEAD_WORKERS, WORKERS, SLOTS = 60, 5, 4, 8
LEASE_SECONDS = 10.0


class Lucky(HandClock):
    """With chance, the same in each run."""

    def __init__(self) -> None:
        super().__init__()
        self._luck = Random(11)

    def chance(self) -> float:
        return self._luck.random()


def allowance(clock: HandClock) -> Takeovers:
    return Takeovers(clock, max_jobs=16, lease_seconds=LEASE_SECONDS, heartbeat_seconds=3.0)


def test_a_burst_is_allowed_and_then_a_rate() -> None:
    clock = HandClock()
    takeovers = allowance(clock)
    takeovers.beat(clock.monotonic())
    taken = 0
    for _ in range(600):  # a minute in tenths of a second
        while takeovers.after(clock.monotonic()) is not None:
            takeovers.count()
            taken += 1
        clock.pass_time(0.1)

    assert PER_SECOND * 59 <= taken <= BURST + PER_SECOND * 60


def test_workers_wait_for_different_times_and_never_for_half_a_heartbeat() -> None:
    clock = Lucky()
    delays = {allowance(clock).after(0.0) for _ in range(100)}

    assert len(delays) > 90
    assert all(delay is not None and 0 <= delay < 1.5 for delay in delays)


def test_a_worker_that_was_away_itself_gives_the_others_time_to_come_back() -> None:
    clock = HandClock()
    takeovers = allowance(clock)
    takeovers.beat(0.0)
    assert takeovers.after(0.0) is not None
    takeovers.beat(30.0)
    assert takeovers.after(30.0) is None
    assert takeovers.after(31.6) is not None


def test_after_a_restart_of_everything_the_queue_drains_in_order_and_nobody_storms(stage_of: MakeStage) -> None:
    here = gated()
    stage = stage_of(here)
    started = [stage.start("gated") for _ in range(JOBS)]
    for number in range(RUNNING):
        dead = Origin(f"dead:{number % DEAD_WORKERS}", "worker")
        stage.store.claim(Wanted(dead.actor, {"gated": ClaimOffer()}), LEASE_SECONDS, dead)
    held = {job_id for job_id in started if stage.job(job_id).worker}
    assert len(held) == RUNNING
    stage.clock.pass_time(LEASE_SECONDS + 5)

    living = [worker_of(stage, f"alive:{number}") for number in range(WORKERS)]
    here.gate.set()
    queries = JobQueries(stage.store.database)
    turns = 0
    while queries.counts("Default", JobFilter(live=True)):
        assert turns < 10 * JOBS, "it does not drain"
        turns += 1
        stage.clock.pass_time(0.1)
        for worker in living:
            worker.turn()

    claims = [
        (recorded.recorded_at.timestamp(), recorded.origin.actor, job_id)
        for job_id in started
        for recorded in stage.store.history(job_id)
        if type(recorded.event).__name__ == "JobClaimed" and recorded.origin.actor.startswith("alive")
    ]
    takeovers = Counter((actor, int(at)) for at, actor, job_id in claims if job_id in held)
    assert sum(takeovers.values()) > 0
    assert max(takeovers.values()) <= BURST + PER_SECOND + 1, "of one worker in one second"
    fresh = [job_id for _, _, job_id in sorted(claims) if job_id not in held]
    assert fresh == sorted(fresh), "the oldest first"


def worker_of(stage: Stage, name: str) -> Worker:
    return stage.worker(slots=SLOTS, max_jobs=SLOTS, name=name, lease_seconds=LEASE_SECONDS)


def test_a_worker_takes_over_what_a_dead_one_has_begun_although_its_slots_are_taken(stage_of: MakeStage) -> None:
    """There would else be no takeover until one of its own jobs has ended, which may be hours."""
    stage = stage_of(gated())
    begun = stage.start("gated")
    dead = Origin("dead:1", "worker")
    stage.store.claim(Wanted(dead.actor, {"gated": ClaimOffer()}), LEASE_SECONDS, dead)
    worker = stage.worker(slots=2)
    busy = stage.start("gated")
    turn_until(lambda: stage.job(busy).in_flight == 2, worker)
    waits = [stage.start("gated") for _ in range(3)]
    for _ in range(2 * int(LEASE_SECONDS)):
        stage.clock.pass_time(1)
        worker.turn()

    held = {job.id for job in worker.jobs}
    assert held >= {busy, begun}
    assert len(held - {begun}) <= 2, "of what nobody has begun it takes no more than it has slots"
    assert not set(waits) <= held
