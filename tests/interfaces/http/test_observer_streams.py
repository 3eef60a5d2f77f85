"""Live streams of observers: how they stand, and every event of their histories once and in order."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.infrastructure.event_store.schema import observer_events, observers
from milepost.infrastructure.observers.rows import effects_transaction
from milepost.interfaces.http import observer_sse
from milepost.interfaces.http.observer_sse import LONGEST_ID, id_of, place_line, place_of
from milepost.interfaces.http.open_streams import OpenStreams
from tests.infrastructure.observers.accounts import deposit, open_accounts
from tests.interfaces.http.live import Heard
from tests.interfaces.http.served import space_of
from tests.interfaces.http.watched import Watched, happened, listening_to, shown, watched

_numbers: Final = count(1)
NAMES: Final = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@pytest.fixture(scope="module", params=["file", "server"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(request.param, tmp_path_factory.mktemp("streams")) as made:
        made.live.turn()
        yield made


@pytest.fixture
def space(house: Watched) -> str:
    """A namespace of its own, in which `balances` was registered."""
    namespace = f"space-{next(_numbers)}"
    house.register(namespace)
    return namespace


def url(house: Watched, space: str) -> str:
    return f"{house.server.url}{space_of(space)}"


def histories(house: Watched, space: str) -> dict[str, list[dict[str, Any]]]:
    """By observer, as they are listed."""
    names = ("balances", "keyed")
    found = {name: httpx.get(f"{url(house, space)}/observers/{name}/history?limit=1000").json() for name in names}
    return {name: page["events"] for name, page in found.items() if page["events"]}


def by_observer(heard: list[Heard]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in heard:
        found[each.data["observer"]].append(each.data)
    return dict(found)


# -- what is told


def test_a_stream_begins_with_all_observers_as_they_stand(house: Watched, space: str) -> None:
    listed = httpx.get(f"{url(house, space)}/observers").json()["observers"]
    with listening_to(url(house, space)) as stream:
        assert stream.begin() == "balances:1"
        documents = shown(stream)

        assert [next(documents) for _ in listed] == listed


def test_an_event_of_a_history_is_told_as_it_is_listed_with_the_place_behind_it(house: Watched, space: str) -> None:
    with listening_to(url(house, space)) as stream:
        stream.begin()
        house.holding(space).pause("balances")
        heard = next(happened(stream))

    assert (heard.event, heard.id) == ("ObserverPaused", "balances:2")
    assert heard.data == histories(house, space)["balances"][-1]


@pytest.mark.parametrize(
    ("topic", "data"),
    [("ObserverRenamed", {"new_name": "sums", "held": "x", "error": "y"}), ("ObserverPaused", {"until": "tomorrow"})],
)
def test_an_event_of_a_newer_milepost_is_told_as_it_is_kept(
    house: Watched, space: str, topic: str, data: dict[str, str]
) -> None:
    with listening_to(url(house, space)) as stream:
        stream.begin()
        with effects_transaction(house.app.database) as connection:
            mine = (observer_events.c.namespace == space, observer_events.c.observer == "balances")
            row = connection.execute(sa.select(observer_events).where(*mine)).mappings().one()
            later = {**row, "version": 2, "topic": topic, "state": json.dumps(data)}
            connection.execute(observer_events.insert(), [later])
            which = (observers.c.namespace == space, observers.c.name == "balances")
            connection.execute(observers.update().where(*which).values(version=2))
        heard = next(happened(stream))

    assert heard.event == topic
    assert heard.data == histories(house, space)["balances"][-1]
    assert (heard.data["event"], heard.data["data"]) == (topic, data)


def test_an_observer_is_shown_again_when_it_has_gone_on(house: Watched) -> None:
    before = httpx.get(f"{house.url}/observers/balances").json()["handled"]
    with listening_to(house.url) as stream:
        stream.begin()
        (account,) = open_accounts(house.bank, 1)
        deposit(house.bank, account, 1, 2, 3)
        house.live.turn()
        documents = (each for each in shown(stream) if each["name"] == "balances" and each["handled"] == before + 3)

        # How far the application is, is told behind what was handled.
        assert next(each for each in documents if each["position"] == each["newest"])


def test_a_stream_tells_nothing_of_other_namespaces(house: Watched, space: str) -> None:
    with listening_to(url(house, space)) as stream:
        stream.begin()
        house.register(f"{space}-elsewhere")
        house.holding(f"{space}-elsewhere").pause("balances")
        house.holding(space).pause("balances")

        assert next(happened(stream)).data == histories(house, space)["balances"][-1]


def test_many_hear_the_same(house: Watched, space: str) -> None:
    with listening_to(url(house, space)) as one, listening_to(url(house, space)) as two:
        for stream in (one, two):
            stream.begin()
        house.holding(space).pause("balances")

        assert next(happened(one)) == next(happened(two))


def test_nobody_is_looked_for_once_the_last_has_gone(house: Watched, space: str) -> None:
    with listening_to(url(house, space)) as stream:
        stream.begin()
    streams: OpenStreams = house.server.served.streams(house.app)
    while len(streams):
        pass

    assert not streams.observers.audiences


# -- cut and resumed


def test_a_stream_that_was_cut_before_its_first_event_misses_nothing(house: Watched, space: str) -> None:
    with listening_to(url(house, space)) as stream:
        begin = stream.begin()
    house.holding(space).pause("balances")

    with listening_to(url(house, space), after=begin) as stream:
        assert next(happened(stream)).event == "ObserverPaused"


def test_from_the_very_start_all_histories_are_told(house: Watched, space: str) -> None:
    house.holding(space).pause("balances")
    with listening_to(url(house, space), after="0") as stream:
        events = happened(stream)
        heard = [next(events) for _ in range(2)]

    assert by_observer(heard) == histories(house, space)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_stream_cut_at_any_moment_and_resumed_tells_every_event_once_and_in_order(house: Watched, seed: int) -> None:
    random, space = Random(seed), f"cut-{next(_numbers)}"
    for name in ("balances", "keyed"):
        house.register(space, name)
    at, heard = "0", list[Heard]()
    writing = threading.Thread(target=_write, args=(house, space, random.randrange(5, 40), seed))
    writing.start()
    while writing.is_alive():
        with listening_to(url(house, space), after=at) as stream:
            for _, each in zip(range(random.randrange(6)), stream, strict=False):
                if each.id is not None and each.event is not None:
                    heard.append(each)
            at = stream.last_id or at
    writing.join()
    expected = histories(house, space)
    with listening_to(url(house, space), after=at) as stream:
        missing = sum(map(len, expected.values())) - len(heard)
        events = happened(stream)
        heard += [next(events) for _ in range(missing)]

    assert by_observer(heard) == expected


def _write(house: Watched, space: str, times: int, seed: int) -> None:
    random = Random(seed)
    for _ in range(times):
        holding = house.holding(space)
        random.choice((holding.pause, holding.unpause))(random.choice(("balances", "keyed")))


@pytest.mark.parametrize("place", ["balances:99", "nobody:1", "balances:1,nobody:1"])
def test_a_place_that_is_not_there_is_gone(house: Watched, space: str, place: str) -> None:
    answer = httpx.get(f"{url(house, space)}/observers/stream", headers={"Last-Event-ID": place})

    assert (answer.status_code, answer.json()["error"]) == (410, "gone")


@pytest.mark.parametrize("place", ["x", "balances", "balances:", "balances:0", "balances:-1", "a:1,,b:1", "a:1;b:2"])
def test_what_is_no_place_is_refused(house: Watched, space: str, place: str) -> None:
    answer = httpx.get(f"{url(house, space)}/observers/stream", params={"after": place})

    assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")


# -- places


@given(st.dictionaries(NAMES, st.integers(1, 999_999_999), max_size=20))
def test_a_place_is_what_its_id_says(place: dict[str, int]) -> None:
    assert place_of(id_of(place)) == place


def test_a_place_that_no_header_could_carry_is_not_said() -> None:
    many = {f"observer-{number}": 1 for number in range(LONGEST_ID)}

    assert place_line(many) == ""
    assert observer_sse.at(many) == b"\n"


def test_streams_of_observers_end_when_the_server_does(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with watched("file", tmp_path) as house:
            stream = stack.enter_context(listening_to(house.url))
            stream.begin()

        assert {heard.event for heard in stream} <= {None, "observer"}
