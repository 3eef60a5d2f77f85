"""Whatever a receiver answers and whoever delivers ends when: each event arrives, in order, and repeats are known."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from milepost.domain.commands import CancelJob, ResumeJob
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.occasions import OCCASIONS, occasion_of
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.event_store.webhooks import Webhook, Webhooks, Wish
from milepost.infrastructure.webhooks.deliveries import Deliveries
from milepost.infrastructure.webhooks.pace import Pace
from milepost.infrastructure.webhooks.signing import message_id, new_secret
from tests.infrastructure.event_store.scene import OPERATOR, Scene, Surroundings
from tests.infrastructure.webhooks.conftest import compose
from tests.infrastructure.webhooks.receiver import Behaviour, Receiver, receiving
from tests.stores import url_of

PATIENT: Final = Pace(first_wait_seconds=0.001, longest_wait_seconds=0.005, listen_seconds=0.002, leave_seconds=0.01)
HASTY: Final = replace(PATIENT, answer_seconds=0.2)  # on a busy machine it breaks off any try, and comes to nothing
AWHILE_SECONDS: Final = 1.0
BEHAVIOURS: Final = st.lists(st.sampled_from([204, 200, 500, 503, 302, 404, 429, "close", "hang"]), max_size=10)
FATES: Final = st.lists(st.sampled_from(["start", "cancel", "stop", "resume"]), min_size=1, max_size=8)
_numbers: Final = count(1)


@dataclass
class Shared:
    """One event store for all examples, of which each has a namespace of its own."""

    url: str
    scene: Scene
    webhooks: Webhooks


@pytest.fixture(scope="module", params=["file", "server"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    url, clock = url_of(request.param, tmp_path_factory.mktemp("shared")), RealSurroundings()
    store = JobStore(open_database(url), clock)
    yield Shared(url, Scene(store, Surroundings(at=clock.now())), Webhooks(store.database, clock))
    store.database.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(behaviours=BEHAVIOURS, fates=FATES, restarts=st.integers(0, 3))
def test_each_event_arrives_at_least_once_and_in_order(
    shared: Shared, behaviours: list[Behaviour], fates: list[str], restarts: int
) -> None:
    namespace = f"n{next(_numbers)}"
    with receiving(*behaviours) as receiver, telling(shared, receiver, namespace) as webhook:
        expected = live(shared, namespace, fates, webhook)
        for number in range(restarts):  # each ends in the middle of whatever it does
            with deliverer(shared, HASTY):
                receiver.wait_for(heard_more_than(number, receiver, len(expected)), AWHILE_SECONDS)
        receiver.release()
        with deliverer(shared, PATIENT):
            receiver.wait_until(lambda: {each.id for each in receiver.accepted} == set(expected))
        verifier = Verifier(webhook.secret)
        for each in receiver.requests:
            verifier.verify(each.body, each.headers)

        assert list(dict.fromkeys(each.id for each in receiver.requests)) == expected
        assert list(dict.fromkeys(each.id for each in receiver.accepted)) == expected


@contextmanager
def telling(shared: Shared, receiver: Receiver, namespace: str) -> Generator[Webhook]:
    """Removed also where the example fails: the deliverers of the next one would go on with it."""
    wish = Wish(namespace, receiver.url, new_secret(), tuple(OCCASIONS), namespace)
    try:
        yield shared.webhooks.add(wish, "ann@desk")
    finally:
        shared.webhooks.remove(namespace)


def heard_more_than(number: int, receiver: Receiver, most: int) -> Callable[[], bool]:
    return lambda: len(receiver.requests) + receiver.hanging > number or len(receiver.accepted) >= most


def deliverer(shared: Shared, pace: Pace) -> Deliveries:
    database = shared.scene.store.database
    return Deliveries(database, RealSurroundings(), compose, pace)


def live(shared: Shared, namespace: str, fates: list[str], webhook: Webhook) -> list[str]:
    """Jobs to which these things happen, one after the other; the ids of the messages about them."""
    store, told = shared.scene.store, list[str]()
    job = shared.scene.start(namespace=namespace)
    seen = 0
    for fate in ["", *fates]:
        if fate == "start":
            job, seen = shared.scene.start(namespace=namespace), 0
        elif fate == "stop" and job.status == "Pending":
            job = shared.scene.stop(job.id, namespace).job
        elif fate == "cancel" and job.status in ("Pending", "Stopped"):
            job = store.execute(namespace, job.id, lambda _: CancelJob(worker_alive=False), OPERATOR).job
        elif fate == "resume" and job.status == "Stopped":
            job = store.execute(namespace, job.id, lambda _: ResumeJob(), OPERATOR).job
        for recorded in store.history(job.id, seen):
            seen = recorded.version
            if occasion_of(recorded.event.topic, "", OCCASIONS):
                told.append(message_id(webhook.id, recorded.event_id))
    return told


def test_every_word_stands_for_an_event_that_is_told_apart() -> None:
    topics = [(known.event.topic, known.status) for known in OCCASIONS.values()]

    assert len(set(topics)) == len(topics)
