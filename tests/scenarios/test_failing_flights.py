"""Handlers that cannot take some aircraft's events: the others go on, and the mended handler brings them to the end."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from milepost.domain.observers.state import ObserverStatus, PartitionStatus
from milepost.infrastructure.flights.aircraft import aircraft_id
from milepost.infrastructure.flights.events import FlightArrived
from milepost.infrastructure.flights.observers.aircraft_places import AircraftPlaces
from milepost.infrastructure.observers.reading import reading
from tests.scenarios.flights_by_hand import Happened, by_hand, happened, read_model
from tests.scenarios.imported_flights import ImportedFlights
from tests.scenarios.observatory import Observatory
from tests.scenarios.workshop import FULL, eventually, tell

MONTHS = list(range(1, 13)) if FULL else [1]
DAYS = None if FULL else 6
AIRCRAFT_OF_THE_YEAR, CARRIERS_WITHOUT_TAIL_NUMBERS = 4_043, 7
FAILING = "N14228"
PARTITION = str(aircraft_id(FAILING))
PAGE: Final = Path(__file__).parents[2] / "docs" / "flights.md"

FRAGILE = """
from milepost import PartitionPolicy, observer
from milepost.infrastructure.flights.events import FlightArrived, FlightDeparted
from milepost.infrastructure.flights.observers.aircraft_places import AircraftPlaces


@observer("fragile-places")
class FragilePlaces(AircraftPlaces):
    handles = None  # all events, so that every aircraft has a third one
    policy = PartitionPolicy(attempts=2, backoff_seconds=0.1)

    def handle_batch(self, events, effects):
        for each in events:
            if (each.event.tail_number, each.event.originator_version) in {FAILS_ON}:
                raise ArithmeticError(f"the third event of {each.event.tail_number}")
        moves = [each for each in events if isinstance(each.event, FlightDeparted | FlightArrived)]
        super().handle_batch(moves, effects)
"""
BROKEN = FRAGILE.replace("{FAILS_ON}", f"{{({FAILING!r}, 3)}}")
MENDED = FRAGILE.replace("{FAILS_ON}", "set()")


@pytest.fixture(params=["file", "server"])
def observatory(
    request: pytest.FixtureRequest, tmp_path: Path, imported_flights: ImportedFlights
) -> Iterator[Observatory]:
    made = Observatory(tmp_path, url=imported_flights.copied(request.param, tmp_path, MONTHS, DAYS))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def events(observatory: Observatory) -> list[Happened]:
    return list(happened(observatory))


def test_a_handler_that_fails_on_one_aircrafts_third_event_holds_that_aircraft_and_no_other(
    observatory: Observatory, events: list[Happened]
) -> None:
    observatory.declare(fragile=BROKEN)
    worker = observatory.worker()
    observatory.until_at("fragile-places", events[-1].position)
    one_aircraft_is_held(observatory, events)
    worker.kill()

    mend(observatory)
    observatory.operator.retry("fragile-places", PARTITION)
    all_is_there(observatory, events)


def test_a_replay_in_which_a_partition_fails_completes_the_others_also_when_it_is_killed_after_the_failure(
    observatory: Observatory, events: list[Happened]
) -> None:
    observatory.declare(fragile=MENDED)
    worker = observatory.worker()
    all_is_there(observatory, events)
    worker.kill()

    observatory.declare(fragile=BROKEN)
    job_id = observatory.start("replay-observer", observer="fragile-places")
    worker = observatory.worker()
    eventually(lambda: observatory.held("fragile-places"), "it has failed")
    worker.kill()
    worker = observatory.worker()
    observatory.until_status(job_id, "CompletedSuccessfully")
    one_aircraft_is_held(observatory, events)
    worker.kill()

    mend(observatory)
    observatory.operator.retry("fragile-places", PARTITION)
    all_is_there(observatory, events)


def mend(observatory: Observatory) -> None:
    observatory.declare(fragile=MENDED)
    observatory.worker()


def one_aircraft_is_held(observatory: Observatory, events: list[Happened]) -> None:
    """It, with its attempts and its error, and everything behind its third event; all others are complete."""
    (held,) = eventually(
        lambda: [each for each in observatory.held("fragile-places") if each.status is PartitionStatus.QUARANTINED],
        "it was tried as often as it may be",
    )
    of_it = [each.position for each in events if each.event.tail_number == FAILING]
    assert (held.name, held.position, held.attempts) == (PARTITION, of_it[2], 2)
    assert held.error is not None
    assert (held.error.type, held.error.message) == ("ArithmeticError", f"the third event of {FAILING}")
    assert observatory.waiting("fragile-places", PARTITION) == len(of_it) - 2

    partitions = {each.event.originator_id for each in events}
    assert observatory.partitions("fragile-places") == len(partitions)
    if FULL:
        assert len(partitions) - 1 == (AIRCRAFT_OF_THE_YEAR - 1) + CARRIERS_WITHOUT_TAIL_NUMBERS
    assert observatory.handled("fragile-places") == len(events) - (len(of_it) - 2)
    handled = [each for each in events if each.position not in of_it[2:]]
    assert read_model(observatory, AircraftPlaces) == by_hand(AircraftPlaces, handled)
    tell(f"{len(partitions) - 1:,} partitions are complete; {held.name} waits with {len(of_it) - 2} events")


def all_is_there(observatory: Observatory, events: list[Happened]) -> None:
    observatory.until_at("fragile-places", events[-1].position)
    eventually(lambda: not observatory.held("fragile-places"), "it has rejoined the others")
    assert observatory.handled("fragile-places") == len(events)
    assert read_model(observatory, AircraftPlaces) == by_hand(AircraftPlaces, events)


def test_an_observer_of_which_too_many_aircraft_fail_stands_still_and_the_mended_one_comes_to_the_end(
    observatory: Observatory, events: list[Happened]
) -> None:
    most = 12
    observatory.declare(strict_arrivals=strict_arrivals(f"PartitionPolicy(attempts=1, max_failed={most})"))
    worker = observatory.worker()
    state = eventually(
        lambda: quarantined_observer(observatory, "strict-arrivals"), f"more than {most} of its partitions have failed"
    )
    assert f"at most {most} may" in state
    held = observatory.held("strict-arrivals")
    stood = observatory.position("strict-arrivals")
    assert most < len(held)
    assert stood < events[-1].position
    worker.kill()

    observatory.declare(strict_arrivals=mended(strict_arrivals()))
    observatory.worker()
    assert observatory.operator.unpause("strict-arrivals")
    for partition in held:
        observatory.operator.retry("strict-arrivals", partition.name)
    observatory.until_at("strict-arrivals", events[-1].position)
    eventually(lambda: not observatory.held("strict-arrivals"), "all have rejoined")
    assert minutes_late(observatory) == minutes_late_by_hand(each.event for each in events)
    tell(f"it stood still at {stood:,} of {events[-1].position:,} with {len(held)} failed partitions")


def test_aircraft_with_diverted_flights_fail_and_an_operator_skips_what_nobody_knows(
    observatory: Observatory, events: list[Happened]
) -> None:
    observatory.declare(strict_arrivals=strict_arrivals("PartitionPolicy(attempts=1)"))
    observatory.worker()
    observatory.until_at("strict-arrivals", events[-1].position)
    diverted = [each for each in events if is_diverted(each.event)]
    held = observatory.held("strict-arrivals")
    assert {each.name for each in held} == {str(each.event.originator_id) for each in diverted}
    assert all(each.error is not None and "nobody knows how late" in each.error.message for each in held)

    # The aircraft with the most diverted flights: each of them is skipped by a decision of its own.
    (worst, times), *_ = Counter(str(each.event.originator_id) for each in diverted).most_common(1)
    for position in [each.position for each in diverted if str(each.event.originator_id) == worst]:
        assert observatory.operator.skip("strict-arrivals", worst) == position
        until_tried(observatory, worst, position)
    assert worst not in {each.name for each in observatory.held("strict-arrivals")}
    known = [each.event for each in events if str(each.event.originator_id) == worst and not is_diverted(each.event)]
    assert minutes_late(observatory)[worst] == minutes_late_by_hand(known)[worst]
    tell(f"{len(held)} aircraft failed, of {len(diverted)} diverted flights; {times} skipped for {worst}")


def until_tried(observatory: Observatory, partition: str, position: int) -> None:
    """It has rejoined, or has failed again behind that position."""

    def tried() -> bool:
        held = [each for each in observatory.held("strict-arrivals") if each.name == partition]
        return not held or (held[0].position > position and held[0].status is PartitionStatus.QUARANTINED)

    eventually(tried, f"what waits behind {position} in {partition} was tried")


def quarantined_observer(observatory: Observatory, name: str) -> str | None:
    found = observatory.observer(name)
    return found.quarantined if found is not None and found.status is ObserverStatus.QUARANTINED else None


def strict_arrivals(policy: str | None = None) -> str:
    """The observer of the page, with that policy where one is given."""
    module = block("strict-arrivals")
    return module if policy is None else module.replace(re.findall(r"PartitionPolicy\(.*\)", module)[0], policy)


def mended(module: str) -> str:
    """As the page mends it."""
    return module.replace(module[module.index("def minutes_late") :], block("strict-arrivals, mended"))


def block(name: str) -> str:
    (found,) = re.findall(rf"<!-- {name} -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def minutes_late(observatory: Observatory) -> dict[str, tuple[int, int]]:
    with reading(observatory.store.database) as connection:
        rows = connection.exec_driver_sql("SELECT aircraft, arrived, minutes_late FROM strict_arrivals")
        return {aircraft: (arrived, minutes) for aircraft, arrived, minutes in rows}


def minutes_late_by_hand(events: Iterable[object]) -> dict[str, tuple[int, int]]:
    """A flight of which nobody knows how late it was is not late."""
    found: dict[str, tuple[int, int]] = {}
    for event in events:
        if isinstance(event, FlightArrived):
            arrived, minutes = found.get(str(event.originator_id), (0, 0))
            found[str(event.originator_id)] = (arrived + 1, minutes + (event.delay_minutes or 0))
    return found


def is_diverted(event: object) -> bool:
    return isinstance(event, FlightArrived) and event.delay_minutes is None
