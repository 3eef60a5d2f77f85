"""Who is let in: tokens and their end, the open server's own names, and how often one may ask."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import DatabaseUnavailable, open_database
from milepost.infrastructure.event_store.known_tokens import FRESH_SECONDS, PAUSE_SECONDS, KnownTokens
from milepost.infrastructure.event_store.schema import prepare
from milepost.infrastructure.event_store.tokens import Role, Token, Tokens, digest
from milepost.interfaces.http import heads
from milepost.interfaces.http.access import is_loopback
from milepost.interfaces.http.limits import KEPT, Buckets, Limits
from tests.interfaces.http.served import MINE, PATIENCE_SECONDS, STORE, Running, jobs_of, running

JOBS: Final = jobs_of(MINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(f"sqlite:///{tmp_path_factory.mktemp('access') / 'jobs.sqlite'}") as found:
        yield found


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(f"sqlite:///{tmp_path_factory.mktemp('open') / 'jobs.sqlite'}", open_here=True) as found:
        yield found


# -- tokens


def test_the_actor_in_the_history_is_the_name_of_the_token(server: Running) -> None:
    with server.asking(server.token("carol", Role.OPERATOR), **{"X-Actor": "somebody", "From": "x@y"}) as carol:
        job = carol.post(JOBS, json={"type": "self-test"}).json()["id"]
        events = carol.get(f"{JOBS}/{job}/events").json()["events"]

    assert {(event["actor"], event["source"]) for event in events} == {("carol", "http")}


def test_who_asks_without_a_token_on_this_machine_is_its_user(open_server: Running) -> None:
    with open_server.asking() as client:
        assert client.get("/api").json()["caller"]["name"].endswith(" (http)")


def test_a_new_token_is_known_at_once(server: Running) -> None:
    for number in range(3):
        with server.asking(server.token(f"new-{number}", Role.VIEWER)) as client:
            assert client.get("/api").status_code == 200


def test_a_revoked_token_opens_nothing_soon_after(server: Running) -> None:
    with server.asking(server.token("leaving", Role.ADMIN)) as client:
        assert client.get("/api").status_code == 200
        server.app.tokens.revoke("leaving")
        while client.get("/api").status_code == 200:
            pass
        for _ in range(3):
            assert client.get("/api").status_code == 401


def test_a_check_waits_for_no_writer_where_the_caller_may_only_view(server: Running) -> None:
    with server.asking(server.token("looking", Role.VIEWER)) as client, server.app.database.write():
        assert client.get(f"{STORE}/check").status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "bearer mp_", "mp_x", "Basic eDp5", "Bearer mp_x mp_y", "Bearer \xff"]
)
def test_what_is_no_token_is_refused(server: Running, authorization: str) -> None:
    with server.asking() as client:
        answer = client.get("/api", headers={b"authorization": authorization.encode("latin-1")})

    assert answer.status_code == 401


def test_a_token_that_does_not_hold_is_told_from_none_and_not_why(server: Running) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    secrets = [server.token("gone", Role.ADMIN), server.token("over", Role.ADMIN, expires_at=past), "mp_invented"]
    server.app.tokens.revoke("gone")

    def told(headers: dict[str, str]) -> dict[str, str]:
        with server.asking(**headers) as client:
            found: dict[str, str] = client.get("/api").json()
            return found

    none = told({})
    with_one = [told({"Authorization": f"Bearer {secret}"}) for secret in secrets]
    assert none["detail"] == "No token was given"
    assert told({"Authorization": "Basic eDp5"}) == none
    assert with_one[0]["detail"] == "The token is not valid here (wrong, revoked or expired)"
    assert with_one[1:] == with_one[:-1]


def test_a_secret_is_nowhere_but_with_its_owner(
    server: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = server.token("discreet", Role.VIEWER)
    wrong = "mp_" + "y" * 43
    told = ""
    for each in (secret, wrong):
        with server.asking(each) as client:
            for path in ("/api", "/api/nothing", f"{JOBS}/x", f"{JOBS}?limit=x", f"{JOBS}/stream?after=x", "/metrics"):
                answer = client.get(path)
                told += answer.text + str(answer.headers)
            told += client.post(JOBS, content=b"{", headers={"Content-Type": "application/json"}).text
    captured = capfd.readouterr()
    said = told + "".join(record.getMessage() for record in _without_the_clients(caplog)) + captured.out + captured.err

    for each in (secret, wrong):
        assert each not in said
        assert each.removeprefix("mp_") not in said
    assert secret not in repr(server.app.tokens.all())
    database = urlsplit(server.app.settings.url.value).path
    assert secret.encode() not in b"".join(Path(database + end).read_bytes() for end in ("", "-wal"))


def _without_the_clients(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]


class Clock:
    """A monotonic one that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class CountedTokens(Tokens):
    """Counts how often the table is read; the database may be away."""

    reads = 0
    away = False

    def by_digest(self) -> dict[str, Token]:
        self.reads += 1
        if self.away:
            raise DatabaseUnavailable("sqlite://", "it is away", "")
        return super().by_digest()


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[CountedTokens]:
    database = open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    prepare(database)
    yield CountedTokens(database, RealSurroundings())
    database.close()


def known(tokens: CountedTokens, clock: Clock) -> KnownTokens:
    return KnownTokens(tokens, lambda: datetime.now(UTC), clock)


def test_a_revocation_is_heard_of_within_a_second(counted: CountedTokens) -> None:
    secret, clock = counted.create("a", Role.VIEWER, created_by="test"), Clock()

    async def lived() -> list[bool]:
        tokens = known(counted, clock)
        found = [await tokens.of(secret) is not None]
        counted.revoke("a")
        clock.now += FRESH_SECONDS
        found.append(await tokens.of(secret) is not None)
        tokens.close()
        return found

    assert asyncio.run(lived()) == [True, False]


def test_many_who_ask_read_the_table_once_a_second(counted: CountedTokens) -> None:
    secret, clock = counted.create("a", Role.VIEWER, created_by="test"), Clock()

    async def lived() -> None:
        tokens = known(counted, clock)
        for _ in range(3):
            assert all(await asyncio.gather(*(tokens.of(secret) for _ in range(100))))
        tokens.close()

    asyncio.run(lived())

    assert counted.reads == 1


def test_many_who_guess_read_the_table_at_most_once_a_pause(counted: CountedTokens) -> None:
    clock = Clock()

    async def lived() -> None:
        tokens = known(counted, clock)
        for _ in range(2):
            found = await asyncio.gather(*(tokens.of(f"mp_{number}") for number in range(100)))
            assert not any(found)
            clock.now += PAUSE_SECONDS
        tokens.close()

    asyncio.run(lived())

    assert counted.reads <= 4  # not 200


def test_while_the_database_is_away_nobody_is_let_in_and_it_is_not_asked_more_often(counted: CountedTokens) -> None:
    secret, clock = counted.create("a", Role.VIEWER, created_by="test"), Clock()

    async def lived() -> None:
        tokens = known(counted, clock)
        assert await tokens.of(secret)
        clock.now += FRESH_SECONDS
        counted.away = True
        for _ in range(10):
            with pytest.raises(DatabaseUnavailable):
                await tokens.of(secret)
        counted.away = False
        clock.now += FRESH_SECONDS
        assert await tokens.of(secret)
        tokens.close()

    asyncio.run(lived())

    assert counted.reads == 3


def test_an_expired_token_is_refused_though_it_is_known(counted: CountedTokens) -> None:
    end = datetime(2030, 1, 1, tzinfo=UTC)
    secret, moment = counted.create("a", Role.VIEWER, created_by="test", expires_at=end), end - timedelta(seconds=1)

    async def lived() -> list[bool]:
        nonlocal moment
        tokens = KnownTokens(counted, lambda: moment, Clock())
        found = [await tokens.of(secret) is not None]
        moment = end
        found.append(await tokens.of(secret) is not None)
        tokens.close()
        return found

    assert asyncio.run(lived()) == [True, False]


def test_only_a_digest_is_kept(counted: CountedTokens) -> None:
    secret = counted.create("a", Role.VIEWER, created_by="test")

    assert [each.digest for each in counted.all()] == [digest(secret)]
    assert secret not in repr(counted.all())


# -- the names of an open server


def test_an_open_server_answers_to_the_names_of_this_machine(open_server: Running) -> None:
    port = urlsplit(open_server.url).port
    with open_server.asking() as client:
        for name in ("localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]"):
            assert client.get("/api", headers={"Host": f"{name}:{port}"}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "localhost",
        "localhost:1",
        "127.0.0.1.evil.example:{port}",
        "10.0.0.1:{port}",
        "",
        ":{port}",
        "[::1]",
    ],
)
def test_an_open_server_answers_to_no_other_name_so_that_none_can_be_turned_to_it(
    open_server: Running, host: str
) -> None:
    port = urlsplit(open_server.url).port
    with open_server.asking() as client:
        for path in ("/api", "/healthz", "/openapi.json", "/nothing"):
            assert client.get(path, headers={"Host": host.format(port=port)}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_site_can_ask_an_open_server_nothing(open_server: Running, headers: dict[str, str]) -> None:
    with open_server.asking(**headers) as client:
        assert client.get(jobs_of(MINE)).status_code == 403
        assert client.post(jobs_of(MINE), json={"type": "self-test"}).status_code == 403
    with open_server.asking() as client:
        assert client.get(f"{jobs_of(MINE)}/counts").json()["counts"].get("Pending", 0) == 0


def test_our_own_page_can_write(open_server: Running) -> None:
    with open_server.asking(Origin=open_server.url, **{"Sec-Fetch-Site": "same-origin"}) as client:
        job = client.post(jobs_of("Own"), json={"type": "self-test"})

    assert job.status_code == 201


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP"])
def test_an_open_server_refuses_what_a_proxy_has_passed_on(open_server: Running, header: str) -> None:
    with open_server.asking(**{header: "203.0.113.9"}) as client:
        answer = client.get("/api")

    assert answer.status_code == 403
    assert "--require-tokens" in answer.json()["suggestion"]


def test_the_page_of_a_server_with_tokens_can_write_behind_a_proxy(server: Running) -> None:
    passed_on = {"X-Forwarded-For": "203.0.113.9", "Origin": "https://milepost.example"}
    with server.asking(server.token("behind", Role.OPERATOR), **passed_on) as client:
        assert client.post(jobs_of(MINE), json={"type": "self-test"}).status_code == 201


def test_a_connection_that_asks_nothing_is_broken(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.1)
    at = urlsplit(server.url)
    with socket.create_connection((at.hostname or "", at.port or 0)) as silent:
        silent.settimeout(PATIENCE_SECONDS)
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_a_server_with_tokens_answers_to_whatever_stands_in_front_of_it(server: Running) -> None:
    with server.asking(server.token("front", Role.VIEWER), Host="milepost.example") as client:
        assert client.get("/api").status_code == 200


def test_what_a_caller_says_of_where_it_asks_from_is_not_believed(server: Running) -> None:
    with server.asking(**{"X-Forwarded-For": "127.0.0.1"}) as client:
        assert client.get("/api").status_code == 401


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("localhost", False)],
)
def test_loopback_is_told_by_the_address(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


# -- headers


def test_every_answer_is_careful_of_browsers(server: Running) -> None:
    with server.asking() as client:
        for path in ("/healthz", "/api", "/nothing", "/openapi.json"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert len(headers["x-request-id"]) == 16
            assert "server" not in headers


# -- how often


def test_a_bucket_gives_twice_its_rate_at_once_and_then_its_rate() -> None:
    buckets = Buckets(10.0)

    assert [buckets.wait("a", 0.0) for _ in range(20)] == [0.0] * 20
    assert buckets.wait("a", 0.0) == pytest.approx(0.1)
    assert buckets.wait("b", 0.0) == 0.0
    assert buckets.wait("a", 0.1) == 0.0
    assert buckets.wait("a", 0.1) > 0


def test_so_many_callers_are_remembered_and_no_more() -> None:
    buckets = Buckets(1.0)
    for number in range(KEPT + 10):
        buckets.wait(str(number), 0.0)

    assert len(buckets) == KEPT


def test_whoever_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    limits = Limits(0.01, 0.01)  # so that a bucket that is not full has nothing for minutes
    with (
        running(f"sqlite:///{tmp_path / 'jobs.sqlite'}", limits=limits) as server,
        server.asking(server.token("eager", Role.VIEWER)) as eager,
        server.asking("mp_wrong") as guessing,
    ):
        for client in (eager, guessing):
            answer = client.get("/api")
            assert answer.status_code == 429
            assert answer.json()["error"] == "too_many_requests"
            assert int(answer.headers["retry-after"]) > 0
        assert eager.get("/healthz").status_code == 200


def test_who_guesses_does_not_hold_up_those_who_have_a_token(tmp_path: Path) -> None:
    limits = Limits(1_000_000.0, 0.01)
    with running(f"sqlite:///{tmp_path / 'jobs.sqlite'}", limits=limits) as server, server.asking("mp_no") as guessing:
        assert guessing.get("/api").status_code == 429
        with server.asking(server.token("patient", Role.VIEWER)) as client:
            assert client.get("/api").status_code == 200


# -- what monitors ask


def test_figures_count_jobs_workers_and_answers(server: Running) -> None:
    with server.asking(server.token("prometheus", Role.ADMIN)) as client:
        client.post(jobs_of("Figures"), json={"type": "self-test"})
        client.get(f"{jobs_of('Figures')}/x")
        text = client.get("/metrics").text

    assert 'milepost_jobs{namespace="Figures",status="Pending"} 1.0' in text
    assert "milepost_workers_alive 0.0" in text
    assert "milepost_http_open_streams 0.0" in text
    route = "/api/event-stores/{event_store}/namespaces/{namespace}/jobs/{job_id}"
    assert f'milepost_http_requests_total{{method="GET",route="{route}",status="400"}}' in text
    assert 'milepost_http_request_seconds_bucket{le="+Inf",route="/api' in text


def test_figures_have_bounds_whatever_is_asked(server: Running) -> None:
    with server.asking(server.token("noisy", Role.ADMIN)) as client:
        for number in range(20):
            client.request("PROPFIND", f"/api/x{number}")
            client.get(f"/x{number}")
        text = client.get("/metrics").text

    assert "PROPFIND" not in text
    assert "/api/x" not in text
    assert 'method="other"' in text


def test_a_server_without_its_database_lives_and_is_not_ready(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with running(f"sqlite:///{path}") as server, server.asking(server.token("eve", Role.ADMIN)) as client:
        server.app.database.close()
        for file in tmp_path.iterdir():
            file.unlink()
        path.mkdir()  # nothing can be opened there
        answers = {each: client.get(each) for each in ("/healthz", "/readyz", "/api", JOBS)}

    assert answers["/healthz"].status_code == 200
    for each in ("/readyz", JOBS):
        assert answers[each].status_code == 503
        assert int(answers[each].headers["retry-after"]) > 0
        assert str(tmp_path) not in answers[each].text


def test_many_callers_at_once_are_served(server: Running) -> None:
    secret = server.token("crowd", Role.OPERATOR)

    def ask(_: int) -> int:
        with server.asking(secret) as client:
            return client.post(JOBS, json={"type": "self-test"}).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(48))) == {201}
