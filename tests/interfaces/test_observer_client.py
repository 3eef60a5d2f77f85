"""Observers from Python, synchronous and asynchronous, against a real server; and through the remote service."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest

from milepost.client import (
    Client,
    InvalidInput,
    NothingFound,
    ObserverEvent,
    ObserverJobAsked,
    ObserverShown,
    Refused,
    VersionChanged,
)
from milepost.domain.errors import JobError
from milepost.interfaces.client import observer_calls
from milepost.interfaces.documents import from_json, to_json
from milepost.interfaces.error_mapping import Told, problem_of
from milepost.interfaces.local_service import LocalService
from milepost.interfaces.observer_documents import ObserverDocument
from milepost.interfaces.remote_service import RemoteService
from milepost.interfaces.service import PartitionCommand, Service
from tests.infrastructure.observers.accounts import Balances, deposit, open_accounts
from tests.interfaces.clients import opened
from tests.interfaces.http.served import MINE
from tests.interfaces.http.watched import ANY_KEY, POISON, Watched, watched


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Watched]:
    with watched("file", tmp_path) as made:
        yield made


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, house: Watched) -> Iterator[Client]:
    with opened(str(request.param), house.server.url) as found:
        yield found


@pytest.fixture
def here(house: Watched) -> Service:
    return LocalService(house.app, MINE)


@pytest.fixture
def there(house: Watched) -> Iterator[Service]:
    service = RemoteService(Client(house.server.url), house.server.url, "default")
    yield service
    service.close()


def test_observers_and_their_histories_are_documents(house: Watched, client: Client, here: Service) -> None:
    house.failing()

    assert client.observers() == here.observers()
    assert client.observer("balances") == here.observer("balances")
    assert list(client.observer_history("balances")) == here.observer_history("balances")
    assert client.observer_events("balances", limit=1).items == here.observer_history("balances", limit=1)
    assert replace(client.diagnose(), checked="") == replace(here.diagnose(), checked="")


def test_an_observer_is_paused_and_goes_on(house: Watched, client: Client) -> None:
    house.live.turn()

    assert client.pause_observer("balances", reason="why").status == "Paused"
    assert not client.change_observer("balances", "pause").changed
    assert client.unpause_observer("balances").changed
    assert [each.reason for each in client.observer_history("balances", after=1)] == ["why", ""]


def test_jobs_on_observers_are_started_once_under_their_key(house: Watched, client: Client) -> None:
    house.live.turn()
    first = client.catch_up_observer("balances", parallel=2, reason="why", idempotency_key="once")
    again = client.start_on_observer("balances", ObserverJobAsked("catch-up", parallel=2, command_id="once"))

    assert (first.changed, again.changed, again.repeated, again.id) == (True, False, True, first.id)
    assert client.job(first.id).request["parallel"] == 2
    assert client.replay_observer("balances", beside=True).changed
    with pytest.raises(Refused):
        client.rebuild_index("balances")


def test_a_partition_is_replayed_alone(house: Watched, client: Client) -> None:
    (ann,) = open_accounts(house.bank, 1)
    deposit(house.bank, ann, 1)
    house.live.turn()
    started = client.replay_observer("balances", partition=str(ann.id))

    assert client.job(started.id).request == {"observer": "balances", "partition": str(ann.id)}


def test_failed_partitions_are_shown_retried_and_skipped(
    house: Watched, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = str(house.failing().id)
    monkeypatch.setattr(observer_calls, "PAGE", 1)
    listed = list(client.every_failed_partition())

    assert [(each.observer, each.partition) for each in listed] == [("balances", ann), ("keyed", ANY_KEY)]
    assert client.failed_partitions(limit=1, after=("balances", ann)) == listed[1:]
    assert client.failed_partitions("keyed") == listed[1:]
    assert [each.attempt for each in client.failed_partition("keyed", ANY_KEY).history] == [1]
    assert client.retry_partition("keyed", ANY_KEY).partition == ANY_KEY
    with pytest.raises(VersionChanged):
        client.skip_partition("balances", ann, reason="why", if_position=listed[0].position + 1)
    skipped = client.skip_partition("balances", ann, reason="why", if_position=listed[0].position)
    assert (skipped.changed, skipped.position) == (True, listed[0].position)
    with pytest.raises(InvalidInput):
        client.skip_partition("balances", ann, reason="")
    with pytest.raises(NothingFound):
        client.failed_partition("balances", "nothing")


def test_a_stream_tells_how_observers_stand_and_what_happens_to_them(house: Watched, client: Client) -> None:
    house.live.turn()
    stream = client.stream_observers(after="0")
    heard: list[Any] = []
    while not any(isinstance(each, ObserverShown) for each in heard):
        heard.append(next(stream))
    client.pause_observer("balances")
    while not isinstance(heard[-1], ObserverEvent) or heard[-1].event.event != "ObserverPaused":
        heard.append(next(stream))
    events = [each for each in heard if isinstance(each, ObserverEvent)]
    again = list(islice(client.stream_observers(after=events[-2].id), 1))

    assert [each.event for each in events if each.event.observer == "balances"] == list(
        client.observer_history("balances")
    )
    assert again == [events[-1]]


def test_a_document_of_an_observer_survives_the_wire(here: Service) -> None:
    for each in here.observers():
        assert from_json(ObserverDocument, to_json(each)) == each


# -- the service that the command line asks


def test_what_is_asked_of_a_server_is_answered_as_here(house: Watched, here: Service, there: Service) -> None:
    ann = str(house.failing().id)

    for service in (here, there):
        assert service.observers() == here.observers()
        assert service.observer("balances") == here.observer("balances")
        assert service.observer_history("balances", after=1, limit=1) == here.observer_history("balances", after=1)
        assert service.observer_history("balances", limit=5_000) == here.observer_history("balances")
        assert service.failed_partitions(limit=5_000) == here.failed_partitions()
        assert service.failed_partitions(after=("balances", ann)) == here.failed_partitions("keyed")
        assert service.failed_partition("keyed", ANY_KEY) == here.failed_partition("keyed", ANY_KEY)


@pytest.mark.parametrize("where", ["here", "there"])
def test_failed_partitions_go_on_behind_the_largest_page(
    house: Watched, where: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in open_accounts(house.bank, 3):
        deposit(house.bank, account, POISON)
    house.live.turn()
    monkeypatch.setattr("milepost.interfaces.remote_service.PAGE", 2)
    service: Service = request.getfixturevalue(where)

    assert len(service.failed_partitions(limit=100)) == 4
    assert len(service.failed_partitions(limit=3)) == 3


REFUSED: Final[dict[str, Callable[[Service, str], object]]] = {
    "an observer that nobody knows": lambda service, _: service.observer("nobody"),
    "the history of one that nobody knows": lambda service, _: service.observer_history("nobody"),
    "a pause of one that nobody knows": lambda service, _: service.change_observer("nobody", "pause"),
    "a job on one that nobody knows": lambda service, _: service.start_on_observer(
        "nobody", ObserverJobAsked("catch-up")
    ),
    "what is no name": lambda service, _: service.observer("no name at all"),
    "a name with a slash": lambda service, _: service.change_observer("a/history", "pause"),
    "no name": lambda service, _: service.observer(""),
    "a name that is too long": lambda service, _: service.observer("x" * 201),
    "partitions of what is no name": lambda service, _: service.failed_partitions("no name/at all"),
    "a partition with too long a name": lambda service, _: service.failed_partition("balances", "x" * 281),
    "a replay of one": lambda service, _: service.start_on_observer(
        "balances", ObserverJobAsked("replay-partition", "x" * 281)
    ),
    "a replay of a partition without a name": lambda service, _: service.start_on_observer(
        "balances", ObserverJobAsked("replay-partition", "")
    ),
    "a replay that cannot be": lambda service, _: service.start_on_observer("keyed", ObserverJobAsked("replay")),
    "a partition that has not failed": lambda service, _: service.failed_partition("balances", "nothing"),
    "a retry of one that has not failed": lambda service, _: service.change_partition("balances", "nothing", "retry"),
    "a skip without a reason": lambda service, ann: service.change_partition("balances", ann, "skip"),
    "a skip of another event": lambda service, ann: service.change_partition(
        "balances", ann, "skip", "why", if_position=0
    ),
    "partitions of an observer that nobody knows": lambda service, _: service.failed_partitions("nobody"),
    "a replay of no partition": lambda service, _: service.start_on_observer(
        "balances", ObserverJobAsked("replay-partition", "nothing")
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_refused_in_the_same_words_by_a_server(
    house: Watched, here: Service, there: Service, what: str
) -> None:
    ann = str(house.failing().id)
    told: list[Any] = []
    for service in (here, there):
        with pytest.raises((JobError, Told)) as error:
            REFUSED[what](service, ann)
        told.append(problem_of(error.value))

    assert told[0] is not None
    assert told[1] == told[0]


@pytest.mark.parametrize("command", ["retry", "skip"])
def test_no_partition_is_meant_by_no_name(client: Client, command: PartitionCommand) -> None:
    with pytest.raises(InvalidInput):
        client.change_partition("balances", "", command, "why")


def test_a_retry_through_a_server_does_what_it_does_here(house: Watched, there: Service) -> None:
    ann = str(house.failing().id)
    Balances.poison = set()
    done = there.change_partition("balances", ann, "retry", "it is mended")

    assert done.job is not None
    assert house.work(done.job) == "CompletedSuccessfully"
    assert there.failed_partitions("balances") == []
