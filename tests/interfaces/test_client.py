"""The Python client, synchronous and asynchronous: the same tests for both, against a real server."""

import inspect
import re
import socketserver
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest

import milepost.client
from milepost.client import (
    ALL_JOBS,
    AsyncClient,
    CannotConnect,
    Client,
    ClientError,
    InvalidInput,
    JobFilter,
    NotAllowed,
    NothingFound,
    Refused,
    ServerFailed,
    StepsAsked,
    TimedOut,
    VersionChanged,
)
from milepost.domain.commands import StopJob
from milepost.infrastructure.event_store.tokens import Role, Tokens
from milepost.infrastructure.settings import resolve
from milepost.interfaces.client import calls
from milepost.interfaces.client.calls import Calls
from milepost.interfaces.client.line import Attempts, Line
from milepost.interfaces.documents import from_json, to_json
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.remote_service import RemoteService
from milepost.interfaces.service import Change
from tests.interfaces.clients import opened
from tests.interfaces.furniture import Furniture
from tests.interfaces.server import Server
from tests.interfaces.wire import Wire

Ids = Mapping[str, str]
NOBODY: Final = "http://127.0.0.1:9"
STOP: Final = StopJob(worker_alive=False)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(jobs: Furniture, a_server: Server) -> Iterator[Server]:
    a_server.serve(resolve())
    yield a_server
    a_server.leave()


@pytest.fixture
def wire(jobs: Furniture, a_server: Server) -> Iterator[Wire]:
    """To a server that asks for a token: one that is open answers to its own name and port alone."""
    token = Tokens(jobs.database, jobs.store.surroundings).create("desk", Role.OPERATOR, created_by="test")
    a_server.serve(resolve(), open_to_all_here=False)
    with Wire(a_server.url, token) as found:
        yield found
    a_server.leave()


@pytest.fixture
def client(kind: str, server: Server) -> Iterator[Client]:
    with opened(kind, server.url) as found:
        yield found


def test_a_job_is_started_stopped_resumed_cancelled_and_removed(client: Client) -> None:
    started = client.start("self-test", {"steps": 2}, tags=["night"], priority=3, reason="why not")
    job = client.job(started.id)

    assert (started.changed, job.status, job.request["steps"]) == (True, "Pending", 2)
    assert (job.tags, job.priority, job.status_changes[0].reason) == (["night"], 3, "why not")
    assert client.stop(job.id, reason="lunch", if_version=1).status == "Stopped"
    assert client.resume(job.id, dry_run=True).dry_run
    assert client.resume(job.id).status == "Pending"
    assert client.cancel(job.id).status == "Cancelled"
    assert client.remove(job.id).status == "Removed"
    told = [each.event for each in client.history(job.id)]
    assert told[:4] == ["JobStarted", "JobStopRequested", "JobStopped", "JobResumed"]
    assert told[4:] == ["JobCancelRequested", "JobCancelled", "JobRemoved"]


def test_a_command_for_a_version_that_is_past_does_nothing_and_says_so(client: Client, ids: Ids) -> None:
    with pytest.raises(VersionChanged) as told:
        client.resume(ids["stopped"], if_version=1)

    assert (told.value.status, told.value.code) == (412, 6)
    assert client.job(ids["stopped"]).status == "Stopped"


def test_a_key_makes_a_start_happen_once(client: Client) -> None:
    first, again = (client.start("self-test", {"steps": 2}, idempotency_key="k-1") for _ in range(2))

    assert (first.id, first.changed, again.changed) == (again.id, True, False)
    assert (first.repeated, again.repeated) == (False, True)
    assert "under this command id" in again.message
    with pytest.raises(Refused):
        client.start("self-test", {"steps": 3}, idempotency_key="k-1")
    assert client.start("self-test", {"steps": 2}).id != first.id


def test_what_is_many_is_gone_through_page_by_page(client: Client, ids: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAGE", 2)
    whole = sorted(set(ids.values()) - {ids["removed"], ids["elsewhere"]})

    assert [job.id for job in client.every_job(oldest_first=True)] == whole
    assert [job.id for job in client.every_job()] == whole[::-1]
    assert list(client.ids()) == whole
    assert sum(client.counts().values()) == len(whole)
    assert [step.index for step in client.steps(ids["completed"])] == [0, 1, 2]
    assert [step.index for step in client.steps(ids["with_failures"], statuses=["Failed"])] == [1]
    versions = [each.version for each in client.history(ids["completed"], after=3)]
    assert versions == list(range(4, client.job(ids["completed"]).version + 1))


def test_the_past_and_what_differs_are_asked_for_like_all_else(client: Client, ids: Ids) -> None:
    then = client.job(ids["completed"], StepsAsked(10), version=8)
    assert then.as_of is not None
    at = datetime.fromisoformat(then.as_of.at)

    assert (then.status, [step.status for step in then.steps or ()]) == ("Running", ["Succeeded", "Running", "Pending"])
    assert client.job(ids["completed"], at=at).version == 8
    assert [job.id for job in client.jobs(at=at).jobs] == [ids["completed"]]
    assert [job.version for job in client.every_job(at=at)] == [8]
    assert client.diff(ids["completed"], 8, steps=1).after.status == "CompletedSuccessfully"
    assert client.diff(ids["completed"], 8, at).events == {}
    assert client.compare(ids["completed"], ids["failed"]).other.status == "Failed"
    assert client.compare(ids["completed"], ids["unknown_type"], across_types=True, steps=0).hidden_steps == 3
    with pytest.raises(NothingFound):
        client.job(ids["completed"], version=99)
    with pytest.raises(InvalidInput):
        client.compare(ids["completed"], ids["unknown_type"])


def test_jobs_are_found_by_filter_and_by_the_beginning_of_an_id(client: Client, ids: Ids) -> None:
    failed = JobFilter(statuses=("Failed", "CompletedWithFailures"))

    assert {job.id for job in client.jobs(failed).jobs} == {ids["failed"], ids["with_failures"]}
    assert client.resolve(ids["failed"].upper()) == ids["failed"]
    assert [each.id for each in client.beginning(ids["failed"], limit=5)] == [ids["failed"]]
    assert ids["failed"].startswith(client.shortened([ids["failed"]])[ids["failed"]])
    job = client.job(ids["with_failures"], StepsAsked(10))
    assert job.steps is not None
    assert job.steps[1].errors[0].type == "builtins.ValueError"


FILTERS: Final = JobFilter(
    statuses=("Failed",),
    types=("self-test",),
    tags=("night",),
    since=datetime(2026, 1, 1, tzinfo=UTC),
    until=datetime(2026, 2, 1, tzinfo=UTC),
    live=True,
    prefix="019b",
)


@pytest.mark.parametrize("name", [each.name for each in fields(JobFilter)])
def test_each_field_of_a_filter_is_asked_for(name: str) -> None:
    """One that was left out would mean more jobs than were meant, all of them perhaps."""
    narrow = replace(ALL_JOBS, **{name: getattr(FILTERS, name)})
    asked = Calls("default", "Default")

    def params(which: JobFilter) -> list[set[tuple[str, str]]]:
        return [set(call.params) for call in (asked.counts(which), asked.jobs(which), asked.ids(which)(None))]

    assert all(more - fewer for more, fewer in zip(params(narrow), params(ALL_JOBS), strict=True))


def test_the_beginning_of_an_id_narrows_what_is_meant(client: Client, ids: Ids) -> None:
    one = JobFilter(prefix=ids["failed"])

    assert list(client.ids(one)) == [job.id for job in client.jobs(one).jobs] == [ids["failed"]]
    assert sum(client.counts(one).values()) == 1


def test_a_command_may_insist_on_the_newest_change_of_status(server: Server, ids: Ids) -> None:
    client = Client(server.url)
    service = RemoteService(client, server.url, "default")
    newest = client.job(ids["stopped"]).status_changes[-1].version
    with pytest.raises(VersionChanged):
        service.change(ids["stopped"], Change("resume", if_status_version=newest - 1))

    assert service.change(ids["stopped"], Change("resume", if_status_version=newest)).changed
    service.close()


def test_what_there_is_besides_jobs(client: Client) -> None:
    assert client.about().event_stores == ("default",)
    assert "self-test" in [each.name for each in client.job_types().types]
    assert client.type_problems() == []
    assert "steps" in client.job_type("self-test").request["properties"]
    assert [each.name for each in client.namespaces()] == ["Default", "Other"]
    assert [each.name for each in client.workers()] == ["elsewhere:2:def"]
    assert client.check().jobs == 8


WRONG: Final[tuple[tuple[Callable[[Client], object], type[ClientError]], ...]] = (
    (lambda client: client.job("01a20fb3-a61e-7097-8570-6e21bf58f2fc"), NothingFound),
    (lambda client: client.job("../namespaces"), ClientError),
    (lambda client: client.job(".."), ClientError),
    (lambda client: client.resolve("0"), InvalidInput),
    (lambda client: client.job_type("poem/1"), NothingFound),
    (lambda client: client.start("poem"), NothingFound),
    (lambda client: client.start("self-test", idempotency_key="two words"), InvalidInput),
    (lambda client: client.stop("01a20fb3", idempotency_key="ü"), InvalidInput),
    (lambda client: client.stop("01a20fb3", idempotency_key="\u00e9 1"), InvalidInput),
    (lambda client: client.stop("01a20fb3", idempotency_key=""), InvalidInput),
    (lambda client: client.job("\ud800"), InvalidInput),
    (lambda client: client.resolve("\ud800"), InvalidInput),
    (lambda client: client.jobs(JobFilter(tags=("\ud800",))), InvalidInput),
    (lambda client: client.shortened(["\ud800"]), InvalidInput),
    (lambda client: next(client.stream(after="\u00e9")), InvalidInput),
    (lambda client: next(client.stream("\ud800")), InvalidInput),
    (lambda client: client.start("self-test", {"steps": -1}), InvalidInput),
    (lambda client: client.start("self-test", {"seconds": float("inf")}), InvalidInput),
    (lambda client: client.start("self-test", {"seconds": object()}), InvalidInput),
)


@pytest.mark.parametrize(("ask", "error"), WRONG)
def test_what_cannot_be_answered_is_an_error_of_its_kind_that_says_what_to_do(
    ask: Callable[[Client], object], error: type[ClientError], client: Client
) -> None:
    with pytest.raises(error) as told:
        ask(client)

    assert str(told.value)
    assert told.value.suggestion


def test_without_a_token_where_one_is_asked_for_nothing_is_allowed(
    kind: str, jobs: Furniture, a_server: Server
) -> None:
    a_server.serve(resolve(), open_to_all_here=False)
    with opened(kind, a_server.url) as client:
        for ask in (client.jobs, client.about, lambda: next(iter(client.stream()))):
            with pytest.raises(NotAllowed):
                ask()
    a_server.leave()


def test_a_server_that_is_not_there_is_told_at_once(kind: str) -> None:
    with opened(kind, NOBODY) as client:
        for ask in (client.jobs, lambda: client.start("self-test"), lambda: next(iter(client.stream()))):
            with pytest.raises(CannotConnect, match="cannot be reached"):
                ask()


def test_wait_returns_what_is_at_rest_and_gives_up_when_time_is_up(client: Client, ids: Ids) -> None:
    assert client.wait(ids["stopped"], timeout=0).status == "Stopped"
    with pytest.raises(TimedOut):
        client.wait(ids["pending"], timeout=0.01)


# -- answers that are lost


def test_a_start_whose_answer_was_lost_is_asked_again_and_happens_once(kind: str, wire: Wire) -> None:
    with opened(kind, wire.url, token=wire.token) as client:
        wire.answers_lost = 1
        started = client.start("self-test", {"steps": 7})

        assert wire.connections == 2
        assert [job.id for job in client.jobs().jobs if job.request.get("steps") == 7] == [started.id]

        assert (started.changed, started.repeated, started.status_before) == (True, False, None)
        assert started.message.startswith(f"Started {started.id}")


def test_a_command_whose_answer_was_lost_is_asked_again_and_told_as_what_it_did(
    kind: str, wire: Wire, ids: Ids
) -> None:
    with opened(kind, wire.url, token=wire.token) as client:
        wire.answers_lost = 1
        stopped = client.stop(ids["pending"])

        assert (stopped.changed, stopped.repeated, stopped.status) == (True, False, "Stopped")
        assert "took effect" in stopped.message
        wire.answers_lost = 1
        again = client.stop(ids["pending"])
        assert (again.changed, again.status) == (False, "Stopped")
        assert [each.event for each in client.history(ids["pending"])].count("JobStopRequested") == 1


def test_a_command_that_was_given_its_key_says_that_it_was_carried_out_under_it(
    kind: str, wire: Wire, ids: Ids
) -> None:
    with opened(kind, wire.url, token=wire.token) as client:
        wire.answers_lost = 1
        resumed = client.resume(ids["stopped"], idempotency_key="k1")

        assert (resumed.changed, resumed.repeated, resumed.status) == (False, True, "Pending")
        assert resumed.message.endswith(f"took effect before, under the same command id, at version {resumed.version}")
        client.stop(ids["stopped"])
        assert f"at version {resumed.version}" in client.resume(ids["stopped"], idempotency_key="k1").message


def test_a_command_whose_answers_are_all_lost_has_an_unknown_outcome(kind: str, wire: Wire, ids: Ids) -> None:
    with opened(kind, wire.url, token=wire.token) as client:
        wire.answers_lost = 3
        with pytest.raises(CannotConnect, match="not known"):
            client.stop(ids["pending"])

        assert client.job(ids["pending"]).status == "Stopped"


def test_a_key_that_changed_nothing_at_first_does_not_say_that_it_did(client: Client, ids: Ids) -> None:
    client.stop(ids["stopped"], idempotency_key="k1")
    client.resume(ids["stopped"])
    again = client.stop(ids["stopped"], idempotency_key="k1")

    assert (again.changed, again.repeated, again.status) == (False, False, "Pending")
    assert "changed nothing" in again.message
    assert client.job(ids["stopped"]).status == "Pending"


def test_a_server_that_never_answers_is_given_up(kind: str, wire: Wire) -> None:
    with opened(kind, wire.url, token=wire.token) as client:
        wire.answers_lost = 100
        with pytest.raises(CannotConnect):
            client.jobs()


def test_whoever_asks_too_much_waits_as_long_as_the_server_says_and_then_gives_up() -> None:
    line = Line(NOBODY, None, seconds=1, plain_http=False)
    attempts = Attempts(line, Calls("default", "Default").counts())
    busy = httpx.Response(429, headers={"Retry-After": "3"}, json={"error": "refused", "detail": "Too many"})

    assert [attempts.answered(busy) for _ in range(3)] == [3.0, 3.0, None]
    assert isinstance(line.refusal(busy), CannotConnect)


def test_a_server_that_is_away_is_asked_again_by_those_who_only_read() -> None:
    line, asked = Line(NOBODY, None, seconds=1, plain_http=False), Calls("default", "Default")
    away = httpx.Response(503, json={"error": "connection_error", "detail": "No database"})

    reading, changing = Attempts(line, asked.counts()), Attempts(line, asked.stop("0"))

    assert [reading.answered(away) for _ in range(3)] == [0.1, 0.5, None]
    assert changing.answered(away) is None


# -- streams


def test_a_stream_that_is_cut_again_and_again_tells_each_event_once_and_in_order(
    kind: str, wire: Wire, jobs: Furniture
) -> None:
    with opened(kind, wire.url, token=wire.token) as client:
        first = jobs.start("self-test")
        heard = client.stream(after=f"{first.id}:1")
        told: list[tuple[str, int]] = []
        for number in range(6):
            job = jobs.start("self-test")
            jobs.execute(job.id, STOP)
            if number % 2:
                wire.cut()
            for _ in range(3):
                event = next(heard).event
                told.append((event.job_id, event.version))
            if number % 3 == 2:
                wire.cut()
        heard.close()  # type: ignore[attr-defined]  # it is a generator

        assert [version for _, version in told] == [1, 2, 3] * 6
        assert len(set(told)) == 18
        assert wire.connections > 2


def test_the_stream_of_one_job_tells_of_no_other(client: Client, jobs: Furniture) -> None:
    job, other = jobs.start("self-test"), jobs.start("self-test")
    for each in (other, job):
        jobs.execute(each.id, STOP)

    stream = client.stream(str(job.id), after=f"{job.id}:1")
    heard = next(stream)
    stream.close()  # type: ignore[attr-defined]  # it is a generator

    assert (heard.id, heard.event.event, heard.event.job_id) == (f"{job.id}:2", "JobStopRequested", str(job.id))


def test_a_stream_of_a_job_that_is_not_there_is_refused(client: Client) -> None:
    with pytest.raises(NothingFound):
        next(iter(client.stream("01a20fb3-a61e-7097-8570-6e21bf58f2fc")))


def test_a_stream_whose_server_stays_away_ends_when_patience_does(kind: str, wire: Wire, jobs: Furniture) -> None:
    job = jobs.start("self-test")
    jobs.execute(job.id, STOP)
    with opened(kind, wire.url, token=wire.token) as client:
        heard = client.stream(after=f"{job.id}:2", patience=0.0)
        assert next(heard).event.version == 3
        wire.__exit__(None, None, None)
        with pytest.raises(CannotConnect):
            next(heard)


@pytest.mark.parametrize("text", ["data: 1", "data: {", "data: {}", "id: \u00e9\ndata: []", 'data: {"jobId": 1}'])
def test_a_stream_of_what_is_no_event_is_told_as_such(text: str, kind: str) -> None:
    stream = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{text}\n\n"
    with answering(stream) as url, opened(kind, url) as client, pytest.raises(ServerFailed):
        next(client.stream())


@pytest.mark.parametrize("head", ["Content-Encoding: gzip", "Location: http://[", "X: \u00e9", "Content-Length: x"])
def test_an_answer_that_makes_no_sense_is_a_client_error(head: str, kind: str) -> None:
    with answering(f"HTTP/1.1 301 Moved\r\n{head}\r\n\r\nnothing") as url, opened(kind, url) as client:
        for ask in (client.jobs, lambda: next(client.stream())):
            with pytest.raises(ClientError):
                ask()


@contextmanager
def answering(text: str) -> Generator[str]:
    """The URL of what answers this, whatever it is asked, and hangs up."""

    class Answers(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(text.encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answers) as listens:
        thread = threading.Thread(target=listens.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listens.server_address[1]}"
        listens.shutdown()
        thread.join()


# -- what it is made of


def test_both_clients_offer_the_same() -> None:
    offered = [{name for name in vars(each) if not name.startswith("_")} for each in (Client, AsyncClient)]

    assert offered[0] - {"listen"} == offered[1]
    for name in offered[1]:
        assert getattr(Client, name).__doc__ == getattr(AsyncClient, name).__doc__
        signatures = [inspect.signature(getattr(each, name)) for each in (Client, AsyncClient)]
        assert str(signatures[0].parameters) == str(signatures[1].parameters)


@pytest.mark.parametrize("name", [name for name in vars(AsyncClient) if not name.startswith("_")])
def test_help_says_what_a_method_returns_and_that_can_be_imported(name: str) -> None:
    for each in (Client, AsyncClient):
        returned = str(inspect.signature(getattr(each, name)).return_annotation)
        assert "Call[" not in returned
        assert "Paged[" not in returned
        for word in re.findall(r"\bmilepost[\w.]*\.(\w+)", returned):
            assert word in milepost.client.__all__


@pytest.mark.parametrize("name", milepost.client.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(milepost.client, name)


def test_a_document_is_the_same_when_it_has_been_over_the_wire(client: Client, ids: Ids) -> None:
    for job_id in ids.values():
        if job_id != ids["elsewhere"]:
            job = client.job(job_id, StepsAsked(10))
            assert from_json(JobDocument, to_json(job)) == job


def test_a_field_of_a_newer_server_is_passed_over_and_one_that_is_missing_is_not(client: Client, ids: Ids) -> None:
    told = to_json(client.job(ids["failed"]))

    assert from_json(JobDocument, {**told, "mood": "cheerful"}).id == ids["failed"]
    wrong: tuple[Any, ...] = ({"id": "x"}, [], None, "text", {**told, "progress": 1})
    for each in wrong:
        with pytest.raises(ValueError, match=r"."):
            from_json(JobDocument, each)
