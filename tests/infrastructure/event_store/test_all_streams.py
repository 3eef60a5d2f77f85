"""The events of all jobs in the order of their commits."""

import threading
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Final
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.domain.commands import OperatorCommand, ResumeJob, StartJob, StopJob
from milepost.domain.job import Job
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store import all_streams
from milepost.infrastructure.event_store.all_streams import AllStreams, PlaceGone
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.event_store.scene import OPERATOR, Scene

SPACES: Final = ("a", "b", "c")
_numbers: Final = count(1)


def started(store: JobStore, namespace: str) -> Job:
    return store.start(StartJob(namespace, "import", {}), OPERATOR)[0]


def execute(store: JobStore, job: Job, command: OperatorCommand) -> None:
    store.execute(job.facts.namespace, job.id, lambda _: command, OPERATOR)


def everything(streams: AllStreams) -> list[EventKey]:
    return [event.key for event in streams.after(None, 1_000_000).events]


def test_without_any_event_there_is_no_newest(database: Database, scene: Scene) -> None:
    streams = AllStreams(database)

    assert streams.newest() is None
    assert streams.newest_of("a", None) is None
    assert streams.after(None, 10) == ([], None, False)


def test_pages_follow_one_another_to_an_end(database: Database, scene: Scene) -> None:
    jobs = [started(scene.store, SPACES[number % 2]) for number in range(5)]
    streams = AllStreams(database)
    end = EventKey(jobs[3].id, 1)

    first = streams.after(None, 2, until=end, namespace="a")
    second = streams.after(first.last, 2, until=end, namespace="a")
    third = streams.after(second.last, 2, until=end, namespace="a")

    assert [event.job_id for event in first.events] == [jobs[0].id]
    assert [event.job_id for event in second.events] == [jobs[2].id]
    assert (first.last, first.more) == (EventKey(jobs[1].id, 1), True)
    assert third == ([], end, False)


def test_a_place_that_is_not_there_is_told(database: Database, scene: Scene) -> None:
    started(scene.store, "a")
    streams, nowhere = AllStreams(database), EventKey(uuid4(), 1)

    with pytest.raises(PlaceGone):
        streams.after(nowhere, 10)
    with pytest.raises(PlaceGone):
        streams.newest_of("a", nowhere)
    assert streams.namespace_of(nowhere) is None


def test_the_events_of_one_job_are_read_page_by_page(database: Database, scene: Scene) -> None:
    job, other = started(scene.store, "a"), started(scene.store, "a")
    execute(scene.store, job, StopJob(worker_alive=False))
    execute(scene.store, job, ResumeJob())
    streams = AllStreams(database)
    last = scene.store.load(job.id).version

    page = streams.of_job(EventKey(job.id, 0), 2)
    rest = streams.of_job(EventKey(job.id, 2), 10, until=last - 1)

    assert ([event.version for event in page.events], page.more) == ([1, 2], True)
    assert [event.version for event in rest.events] == list(range(3, last))
    assert {event.namespace for event in page.events} == {"a"}
    assert streams.version_of(job.id, None) == 0
    assert streams.version_of(job.id, EventKey(other.id, 1)) == 1
    assert streams.version_of(job.id, streams.newest()) == last


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    happens=st.lists(st.tuples(st.sampled_from(SPACES), st.booleans()), max_size=15),
    looked_back=st.integers(0, 4),
    until=st.integers(0, 40),
)
def test_the_newest_event_of_a_namespace_is_the_last_of_its_own_up_to_there(
    database: Database,
    scene: Scene,
    happens: Sequence[tuple[str, bool]],
    looked_back: int,
    until: int,
) -> None:
    round_ = f"{next(_numbers)}-"
    jobs: dict[str, Job] = {}
    for space, again in happens:
        job = jobs.get(space) if again else None
        if job is None:
            jobs[space] = started(scene.store, round_ + space)
        else:
            stops = scene.store.load(job.id).status != "Stopped"
            execute(scene.store, job, StopJob(worker_alive=False) if stops else ResumeJob())
    streams = AllStreams(database)
    of = {event.key: event.namespace for event in streams.after(None, 1_000_000).events}
    end = list(of)[max(0, len(of) - until - 1)] if of else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(all_streams, "LOOKED_AT", 2)
        patch.setattr(all_streams, "LOOKED_BACK", looked_back)
        for space in SPACES:
            up_to_there = list(of)[: list(of).index(end) + 1] if end else []
            own = [key for key in up_to_there if of[key] == round_ + space]

            assert streams.newest_of(round_ + space, end) == (own[-1] if own else None)


@pytest.mark.parametrize("url", ["file", "server"], indirect=True)
def test_whoever_follows_misses_nothing_while_many_write(url: str) -> None:
    """Positions become visible in their order: a later one never before an earlier one."""
    reading = open_database(url)
    JobStore(reading, RealSurroundings())
    followed, streams = list[EventKey](), AllStreams(reading)
    writers = [threading.Thread(target=_write, args=(url, seed)) for seed in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        followed += [event.key for event in streams.after(followed[-1] if followed else None, 7).events]
    for writer in writers:
        writer.join()
    followed += [event.key for event in streams.after(followed[-1] if followed else None, 1_000_000).events]

    assert len(followed) >= 4 * WRITTEN
    assert followed == everything(streams)
    reading.close()


WRITTEN: Final = 25


def _write(url: str, seed: int) -> None:
    """With connections of its own, as another process."""
    database, random = open_database(url), Random(seed)
    store, jobs = JobStore(database, RealSurroundings()), list[UUID]()
    for _ in range(WRITTEN):
        if jobs and random.random() < 0.5:
            store.execute("a", jobs.pop(), lambda _: StopJob(worker_alive=False), OPERATOR)
        else:
            jobs.append(started(store, "a").id)
    database.close()


def test_steps_are_told_by_their_names(database: Database, scene: Scene) -> None:
    job, other = scene.running(3), scene.running(2)
    streams = AllStreams(database)

    assert streams.step_names([(job.id, 2), (other.id, 0), (other.id, 7)]) == {
        (job.id, 2): "step-2",
        (other.id, 0): "step-0",
    }
    assert streams.step_names([]) == {}
