"""Live streams: each event once and in order, to those alone whom it concerns."""

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.domain.commands import CancelJob, RemoveJob, ResumeJob, StopJob
from milepost.domain.job import Job
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs
from milepost.infrastructure.event_store.tokens import Role
from milepost.interfaces.http import open_streams
from milepost.interfaces.http.listener import MOST_WAITING
from tests.interfaces.furniture import Furniture
from tests.interfaces.http.live import (
    Listening,
    LiveServer,
    SilentClient,
    ids,
    listening_to,
    live_server,
)
from tests.postgres import Postgres
from tests.stores import url_of

A_JOB: Final = UUID("01a20fb3-b988-7c4a-b1ee-b7066437cef8")
_numbers: Final = count(1)


@pytest.fixture(scope="module", params=["file", "server"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("served")
    with live_server(url_of(request.param, folder), folder) as server:
        yield server


@pytest.fixture(scope="module")
def on_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("served")
    with live_server(url_of("file", folder), folder) as server:
        yield server


@pytest.fixture
def space() -> str:
    """A namespace that nobody has used."""
    return f"space-{next(_numbers)}"


# -- what is told


def test_a_stream_tells_what_happens_to_all_jobs_of_its_namespace_in_order(server: LiveServer, space: str) -> None:
    with listening_to(server.jobs_of(space)) as stream:
        assert stream.begin() == "0"
        first = server.start(space)
        second = server.start(space)
        server.stop(first)

        heard = stream.next(4)

    assert ids(heard) == [f"{first.id}:1", f"{second.id}:1", f"{first.id}:2", f"{first.id}:3"]


def test_an_event_on_a_stream_is_the_document_of_the_history(server: LiveServer) -> None:
    furniture = Furniture(server.url)
    with closing(furniture.database):
        job = furniture.running()
    listed = httpx.get(f"{server.jobs_of('Default')}/{job.id}/events").json()["events"]

    with listening_to(server.jobs_of("Default"), job.id, after="0") as stream:
        told = [(heard.event, heard.data) for heard in stream.next(len(listed))]

    assert "step-1" in (each["step"] for each in listed)
    assert told == [(each["event"], each) for each in listed]


def test_a_stream_of_one_job_tells_of_no_other(server: LiveServer, space: str) -> None:
    other, job = server.start(space), server.start(space)
    with listening_to(server.jobs_of(space), job.id) as stream:
        assert stream.begin() == f"{job.id}:1"
        server.stop(other)
        server.stop(job)

        assert ids(stream.next(1)) == [f"{job.id}:2"]


def test_a_stream_tells_nothing_of_other_namespaces(server: LiveServer, space: str) -> None:
    with listening_to(server.jobs_of(space)) as stream:
        stream.begin()
        server.start("Elsewhere")
        job = server.start(space)

        assert ids(stream.next(1)) == [f"{job.id}:1"]


def test_where_a_stream_begins_does_not_tell_what_others_do(server: LiveServer, space: str) -> None:
    job = server.start(space)
    begins: set[str] = set()
    for _ in range(3):
        server.start("Elsewhere")
        with listening_to(server.jobs_of(space)) as stream:
            begins.add(stream.begin())

    assert begins == {f"{job.id}:1"}


def test_a_stream_of_a_removed_job_tells_that_it_was_removed(server: LiveServer, space: str) -> None:
    job = server.start(space)
    with listening_to(server.jobs_of(space), job.id) as stream:
        stream.begin()
        server.execute(job, CancelJob(worker_alive=False))
        server.execute(job, RemoveJob())

        told = (each.event for each in stream.events())

        assert "JobRemoved" in told


def test_many_hear_the_same(server: LiveServer, space: str) -> None:
    jobs = server.jobs_of(space)
    with listening_to(jobs) as one, listening_to(jobs) as two, listening_to(jobs) as three:
        for stream in (one, two, three):
            stream.begin()
        job = server.start(space)

        assert [ids(stream.next(1)) for stream in (one, two, three)] == [[f"{job.id}:1"]] * 3


# -- cut and resumed


def test_a_stream_that_was_cut_before_its_first_event_misses_nothing(server: LiveServer, space: str) -> None:
    before = server.start(space)
    with listening_to(server.jobs_of(space)) as stream:
        begin = stream.begin()
    missed = server.start(space)

    with listening_to(server.jobs_of(space), after=begin) as stream:
        assert begin == f"{before.id}:1"
        assert ids(stream.next(1)) == [f"{missed.id}:1"]


def test_the_place_may_be_given_in_the_query_too_and_the_header_goes_before_it(server: LiveServer, space: str) -> None:
    first, second, third = (server.start(space) for _ in range(3))
    jobs = server.jobs_of(space)

    with httpx.stream("GET", f"{jobs}/stream?after={first.id}:1") as response:
        assert ids(Listening(response).next(1)) == [f"{second.id}:1"]
    with httpx.stream(
        "GET", f"{jobs}/stream?after={first.id}:1", headers={"Last-Event-ID": f"{second.id}:1"}
    ) as response:
        assert ids(Listening(response).next(1)) == [f"{third.id}:1"]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_stream_cut_at_any_moment_and_resumed_tells_every_event_once_and_in_order(
    server: LiveServer, seed: int
) -> None:
    random, space = Random(seed), f"cut-{next(_numbers)}"
    jobs, only = server.jobs_of(space), server.start(space)
    heard: dict[str, list[str]] = {"all": [], "one": []}
    at: dict[str, str | None] = {"all": "0", "one": "0"}
    writing = threading.Thread(target=_write, args=(server, space, only, random.randrange(5, 40)))
    writing.start()

    def goes_on(which: str) -> None:
        with listening_to(jobs, None if which == "all" else only.id, after=at[which]) as stream:
            for _, each in zip(range(random.randrange(4)), stream, strict=False):
                if each.event is not None:
                    assert each.id is not None
                    heard[which].append(each.id)
            at[which] = stream.last_id or at[which]

    while writing.is_alive():
        goes_on("all")
        goes_on("one")
    writing.join()
    in_order = _order(server, space)
    for which, expected in (("all", in_order), ("one", [each for each in in_order if each.startswith(str(only.id))])):
        if heard[which] != expected:
            with listening_to(jobs, None if which == "all" else only.id, after=at[which]) as stream:
                heard[which] += stream.until(expected[-1])
        assert heard[which] == expected


def _write(server: LiveServer, space: str, only: Job, count: int) -> None:
    for number in range(count):
        server.start(space)
        server.start("Elsewhere")
        server.execute(only, ResumeJob() if number % 2 else StopJob(worker_alive=False))


def _order(server: LiveServer, space: str) -> list[str]:
    """The ids of a namespace's events in the order of their commits, by the database's own numbers."""
    database = server.store.database
    position = "rowid" if database.engine.dialect.name == "sqlite" else "notification_id"
    with database.read() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT originator_id, originator_version FROM {EVENTS_TABLE} ORDER BY {position}"
        ).all()
        of = {row.id: row.namespace for row in connection.execute(sa.select(jobs.c.id, jobs.c.namespace))}
    found = [(str(UUID(str(stream))), version) for stream, version in rows]
    return [f"{job_id}:{version}" for job_id, version in found if of[job_id] == space]


@pytest.mark.parametrize("other", ["unknown", "of another namespace", "of a later version"])
def test_an_id_that_is_not_of_this_namespace_is_gone_whether_it_is_elsewhere_or_not(
    server: LiveServer, space: str, other: str
) -> None:
    job, elsewhere = server.start(space), server.start("Elsewhere")
    after = {
        "unknown": f"{uuid4()}:1",
        "of another namespace": f"{elsewhere.id}:1",
        "of a later version": f"{job.id}:7",
    }[other]

    answer = httpx.get(f"{server.jobs_of(space)}/stream", params={"after": after})

    assert answer.status_code == 410
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:milepost:problem:gone",
        "status": 410,
        "title": "Gone",
        "error": "gone",
        "detail": "There is no such event here",
        "suggestion": "Start over without an id, or with 0 for all there is",
    }


def test_a_stream_of_one_job_does_not_go_on_from_another_ones_event(on_file: LiveServer, space: str) -> None:
    job, other = on_file.start(space), on_file.start(space)

    answer = httpx.get(f"{on_file.jobs_of(space)}/{job.id}/stream", params={"after": f"{other.id}:1"})

    assert answer.status_code == 410


@pytest.mark.parametrize("after", ["17", "0:0", "x:1", f"{A_JOB}:0", f"{A_JOB}:-1", f"{A_JOB.hex}:1"])
def test_what_is_no_id_is_refused(on_file: LiveServer, space: str, after: str) -> None:
    answer = httpx.get(f"{on_file.jobs_of(space)}/stream", headers={"Last-Event-ID": after})

    assert answer.status_code == 400
    assert answer.json()["error"] == "validation_error"


def test_there_is_no_stream_of_a_job_that_is_not_there(on_file: LiveServer, space: str) -> None:
    elsewhere = on_file.start("Elsewhere")

    answers = [httpx.get(f"{on_file.jobs_of(space)}/{job_id}/stream") for job_id in (elsewhere.id, uuid4())]

    assert [answer.status_code for answer in answers] == [404, 404]


def test_a_stream_goes_on_where_rows_were_deleted_and_the_file_was_vacuumed(on_file: LiveServer, space: str) -> None:
    gone, last = on_file.start("Elsewhere"), on_file.start(space)
    with listening_to(on_file.jobs_of(space)) as stream:
        begin = stream.begin()
        with closing(sqlite3.connect(on_file.url.removeprefix("sqlite:///"))) as file:
            file.execute(f"DELETE FROM {EVENTS_TABLE} WHERE originator_id = ?", (gone.id.hex,))
            file.commit()
            file.execute("VACUUM")  # which numbers the rows anew
        missed = on_file.start(space)

        assert ids(stream.next(1)) == [f"{missed.id}:1"]
    with listening_to(on_file.jobs_of(space), after=begin) as stream:
        assert begin == f"{last.id}:1"
        assert ids(stream.next(1)) == [f"{missed.id}:1"]


def test_a_stream_ends_when_the_event_that_it_was_at_is_deleted_and_cannot_be_resumed_there(
    on_file: LiveServer, space: str
) -> None:
    last = on_file.start(space)
    with listening_to(on_file.jobs_of(space)) as stream:
        begin = stream.begin()
        with closing(sqlite3.connect(on_file.url.removeprefix("sqlite:///"))) as file:
            file.execute(f"DELETE FROM {EVENTS_TABLE} WHERE originator_id = ?", (last.id.hex,))
            file.commit()

        assert list(stream.events()) == []
    answer = httpx.get(f"{on_file.jobs_of(space)}/stream", headers={"Last-Event-ID": begin})
    assert answer.status_code == 410


# -- who is slow, who may not any more, and what cannot be read


def test_a_slow_listener_is_sent_away_others_hear_all_and_it_comes_again(on_file: LiveServer, space: str) -> None:
    large = "x" * 900_000
    with closing(SilentClient(on_file, space)) as slow, listening_to(on_file.jobs_of(space)) as stream:
        stream.begin()
        expected: list[str] = []
        for _ in range(2 * MOST_WAITING // len(large)):
            expected.append(f"{on_file.start(space, {'large': large}).id}:1")
            assert ids(stream.next(1)) == expected[-1:]

        told = slow.read_to_the_end().decode()

    heard = re.findall(r"^id: (.+:1)$", told, re.MULTILINE)
    assert ": too far behind, come again from the last id" in told
    assert heard == expected[: len(heard)]
    assert len(heard) < len(expected)
    with listening_to(on_file.jobs_of(space), after=heard[-1] if heard else "0") as stream:
        assert ids(stream.next(len(expected) - len(heard))) == expected[len(heard) :]


def test_a_connection_that_takes_nothing_is_broken(
    on_file: LiveServer, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_streams, "STUCK_SECONDS", 0.1)
    large = "x" * 900_000
    with closing(SilentClient(on_file, space)) as stuck, listening_to(on_file.jobs_of(space)) as stream:
        stream.begin()
        streams = on_file.served.streams(on_file.served.app)
        while len(streams) > 1:
            on_file.start(space, {"large": large})
            stream.next(1)

        assert not stuck.read_to_the_end().endswith(b"\r\n0\r\n\r\n")


def test_a_silent_stream_says_that_it_is_alive(
    on_file: LiveServer, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_streams, "ALIVE_SECONDS", 0.0)
    with listening_to(on_file.jobs_of(space)) as stream:
        assert "alive" in (heard.comment for heard in stream)


def test_no_more_streams_are_opened_than_the_server_can_bear(
    on_file: LiveServer, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening_to(on_file.jobs_of(space)) as stream:
        stream.begin()
        monkeypatch.setattr(open_streams, "MOST_STREAMS", 1)

        answer = httpx.get(f"{on_file.jobs_of(space)}/stream")

    assert answer.status_code == 503
    assert answer.json()["error"] == "connection_error"


@pytest.mark.parametrize("ends", ["revoked", "expired"])
def test_a_stream_ends_when_its_token_does_not_hold_any_more(
    server: LiveServer, tmp_path: Path, space: str, ends: str
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=2) if ends == "expired" else None
    name, other = f"{ends}-{space}", f"other-{space}"
    tokens = server.tokens
    secret = tokens.create(name, Role.VIEWER, created_by="ann", expires_at=expires_at)
    holds = tokens.create(other, Role.VIEWER, created_by="ann")
    jobs = server.jobs_of(space)
    with (
        listening_to(jobs, Authorization=f"Bearer {secret}") as stream,
        listening_to(jobs, Authorization=f"Bearer {holds}") as goes_on,
    ):
        stream.begin()
        goes_on.begin()
        if ends == "revoked":
            tokens.revoke(name)

        assert [heard.comment for heard in stream][-1] == "the token does not hold any more"
        job = server.start(space)
        assert ids(goes_on.next(1)) == [f"{job.id}:1"]


def test_an_event_that_cannot_be_read_is_told_as_such_and_the_stream_goes_on(server: LiveServer, space: str) -> None:
    job = server.start(space)
    with listening_to(server.jobs_of(space)) as stream:
        stream.begin()
        mark = "?" if server.url.startswith("sqlite") else "%s"
        with server.store.database.write() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO {EVENTS_TABLE} (originator_id, originator_version, topic, state)"
                f" VALUES ({mark}, {mark}, {mark}, {mark})",
                (job.id.hex, 2, "milepost:FromTheFuture", b"{}"),
            )
        after = server.start(space)

        unreadable, readable = stream.next(2)

    assert (unreadable.id, unreadable.event) == (f"{job.id}:2", "UnreadableEvent")
    assert "FromTheFuture" in unreadable.data["reason"]
    assert (readable.id, readable.event) == (f"{after.id}:1", "JobStarted")


# -- when the server or its database ends


def test_all_streams_end_when_the_server_does_also_one_that_nobody_reads(tmp_path: Path) -> None:
    with live_server(url_of("file", tmp_path), tmp_path) as server, ExitStack() as stack:
        jobs = server.jobs_of("Default")
        streams = [stack.enter_context(listening_to(jobs)) for _ in range(20)]
        for stream in streams:
            stream.begin()
        silent = stack.enter_context(closing(SilentClient(server, "Default")))
        job = server.start("Default", {"large": "x" * 900_000})
        for stream in streams:
            assert ids(stream.next(1)) == [f"{job.id}:1"]

        server.end()

        assert [list(stream.events()) for stream in streams] == [[]] * 20
        assert silent.heard


def test_a_stream_goes_on_when_the_database_was_away(tmp_path: Path) -> None:
    database = Postgres()
    try:
        with live_server(database.url, tmp_path) as server, listening_to(server.jobs_of("Default")) as stream:
            stream.begin()
            before = server.start("Default")
            assert ids(stream.next(1)) == [f"{before.id}:1"]
            database.stop("fast")
            database.start()
            server.store.database.close()  # its connections, which are broken: it makes new ones
            after = server.start("Default")

            assert ids(stream.next(1)) == [f"{after.id}:1"]
    finally:
        database.end()
