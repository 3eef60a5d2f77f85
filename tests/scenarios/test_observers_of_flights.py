"""The observers of the flights, stopped and killed: row by row what a plain loop over the events says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.flights.observers.aircraft_places import AircraftPlaces
from milepost.infrastructure.flights.observers.flight_search import FlightSearch
from milepost.infrastructure.flights.observers.route_delays import RouteDelays
from milepost.infrastructure.observers.observer import Observer
from milepost.infrastructure.observers.rows import effects_transaction
from tests.scenarios.flights_by_hand import Happened, by_hand, happened, read_model, table_of
from tests.scenarios.imported_flights import ImportedFlights
from tests.scenarios.observatory import Observatory
from tests.scenarios.workshop import FULL, claims, dice, eventually, of_kind, tell

MONTHS = list(range(1, 13)) if FULL else [1]
OBSERVERS: list[type[Observer]] = [AircraftPlaces, RouteDelays, FlightSearch]
NAMES = [each.name for each in OBSERVERS]
STOPS = KILLS = 2


@pytest.fixture(params=["file", "server"])
def observatory(
    request: pytest.FixtureRequest, tmp_path: Path, imported_flights: ImportedFlights
) -> Iterator[Observatory]:
    made = Observatory(tmp_path, url=imported_flights.copied(request.param, tmp_path, MONTHS))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def events(observatory: Observatory) -> list[Happened]:
    """The flights of the months, imported, with every observer registered and none run yet."""
    observatory.register(*NAMES)
    events = list(happened(observatory))
    assert not FULL or len(events) == 1_001_615
    return events


# In place the read model is emptied first; beside, a second generation is built and swapped in at the end.
WAYS = [(each, beside) for each in OBSERVERS for beside in (False, True)]
REPLAYS = {
    "file": WAYS if FULL else [(AircraftPlaces, False), (RouteDelays, True)],
    "server": WAYS if FULL else [(FlightSearch, False), (RouteDelays, True)],
}


def test_a_replay_that_is_stopped_twice_and_killed_twice_builds_what_a_plain_loop_over_the_events_builds(
    observatory: Observatory, events: list[Happened]
) -> None:
    newest = events[-1].position
    worker = observatory.worker()
    for name in NAMES:
        observatory.until_at(name, newest)
    worker.kill()
    on = "server" if observatory.url.startswith("postgresql") else "file"
    for observer, beside in REPLAYS[on]:
        expected = by_hand(observer, events)
        assert read_model(observatory, observer) == expected, "live"
        spoil(observatory, observer)
        moments = replay_through_stops_and_kills(observatory, observer.name, newest, beside=beside)
        assert read_model(observatory, observer) == expected
        how = "beside" if beside else "in place"
        tell(f"{observer.name} {how}: {len(expected):,} rows equal after {', '.join(moments)} of {newest:,}")


def spoil(observatory: Observatory, observer: type[Observer]) -> None:
    """Nothing is left of the read model, so that a replay that did nothing would be found out."""
    with effects_transaction(observatory.store.database) as connection:
        connection.execute(table_of(observer).delete())
    assert read_model(observatory, observer) == set()


def replay_through_stops_and_kills(observatory: Observatory, name: str, newest: int, *, beside: bool) -> list[str]:
    """Where it was each time it was interrupted."""
    luck = dice()
    ways = ["stopped"] * STOPS + ["killed"] * KILLS
    luck.shuffle(ways)
    interrupted: list[str] = []
    job_id = observatory.start("replay-observer", observer=name, beside=beside)
    worker = observatory.worker()
    for way, share in zip(ways, sorted(luck.uniform(0.05, 0.6) for _ in ways), strict=True):
        reached = observatory.position(name, beside=beside) if interrupted else 0
        moment = max(int(share * newest), reached + 1)  # it must have done something
        until_replayed(observatory, name, moment, beside=beside)
        if way == "stopped":
            observatory.stop(job_id)
        else:
            worker.kill()
            assert observatory.row(job_id).status == "Running", "it was not killed in the middle"
        at = observatory.position(name, beside=beside)
        assert at < newest, "it was not interrupted in the middle"
        interrupted.append(f"{way} at {at:,}")
        if way == "stopped":
            assert observatory.milepost("jobs", "resume", str(job_id)).code == 0
        else:
            worker = observatory.worker()
    observatory.until_status(job_id, "CompletedSuccessfully")
    worker.kill()
    history = observatory.history(job_id)
    assert observatory.checked(job_id).status is JobStatus.COMPLETED_SUCCESSFULLY
    assert claims(history) == list(range(1, STOPS + KILLS + 2))
    assert len(of_kind(history, e.JobStopped)) == STOPS
    assert observatory.held(name) == []
    return interrupted


def until_replayed(observatory: Observatory, name: str, moment: int, *, beside: bool) -> None:
    def there() -> bool:
        found = observatory.observer(name)
        return found is not None and found.job is not None and observatory.position(name, beside=beside) >= moment

    eventually(there, f"the replay of {name} has come to {moment}")
