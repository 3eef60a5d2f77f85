"""Servers that are killed or told to end while streams are open: whoever comes again has missed nothing."""

import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from typing import Final

import httpx
import pytest

from milepost.domain.commands import StartJob
from milepost.domain.envelope import Origin
from milepost.infrastructure.event_store.all_streams import AllStreams
from tests.interfaces.http.live import Listening
from tests.postgres import fresh_url
from tests.scenarios.serving import JOBS, ServerProcess, connected, serving
from tests.scenarios.workshop import FULL, PATIENCE_SECONDS, Workshop, dice, eventually

KILLS: Final = 20 if FULL else 3
STREAMS: Final = 500 if FULL else 100


@pytest.fixture(params=["file", "server"])
def any_workshop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    with closing(Workshop(tmp_path, url=fresh_url() if request.param == "server" else None)) as made:
        assert made.milepost("event-stores", "create").code == 0
        yield made


def test_a_stream_that_is_resumed_at_servers_that_are_killed_tells_every_event_once(any_workshop: Workshop) -> None:
    random, over = dice(), threading.Event()
    heard: list[str] = []
    with ExitStack() as stack:
        server = stack.enter_context(serving(any_workshop))
        begin = _begin_of(server)  # it is cut before its first event
        writer = threading.Thread(target=_write, args=(any_workshop, over))
        writer.start()
        stack.callback(writer.join)
        stack.callback(over.set)
        for _ in range(KILLS):
            begin = _heard_until_the_kill(server, begin, heard, random)
            server = stack.enter_context(serving(any_workshop, port=server.port))
        over.set()
        writer.join()
        expected = _in_order(any_workshop)
        if heard != expected:
            with httpx.stream("GET", _stream(server), headers={"Last-Event-ID": begin}) as response:
                heard += Listening(response).until(expected[-1])

    assert len(heard) >= KILLS
    assert heard == expected


def _begin_of(server: ServerProcess) -> str:
    with httpx.stream("GET", _stream(server), timeout=PATIENCE_SECONDS) as response:
        begin = Listening(response).begin()
        server.kill()
        return begin


def _heard_until_the_kill(server: ServerProcess, after: str, heard: list[str], random: Random) -> str:
    """The last id that was heard; the server is killed in the middle of what it tells."""
    if server.process.poll() is not None:
        return after
    enough, listening = random.randrange(1, 30), None
    try:
        with httpx.stream(
            "GET", _stream(server), headers={"Last-Event-ID": after}, timeout=PATIENCE_SECONDS
        ) as response:
            listening = Listening(response)
            for number, each in enumerate(listening.events()):
                assert each.id is not None
                heard.append(each.id)
                if number == enough:
                    server.process.kill()
    except httpx.TransportError:
        server.kill()
    return (listening.last_id if listening else None) or after


def _stream(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.port}{JOBS}/stream"


def _write(workshop: Workshop, over: threading.Event) -> None:
    while not over.wait(0.002):
        workshop.store.start(StartJob("Default", "self-test", {}), Origin("ann@desk", "cli"))


def _in_order(workshop: Workshop) -> list[str]:
    streams = AllStreams(workshop.store.database)
    return [f"{event.job_id}:{event.version}" for event in streams.after(None, 1_000_000).events]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_end_ends_its_streams_and_succeeds(
    any_workshop: Workshop, number: signal.Signals
) -> None:
    with serving(any_workshop) as server, ExitStack() as stack:
        clients = [stack.enter_context(closing(_client(server))) for _ in range(STREAMS)]
        silent = clients.pop()  # does not read to the end

        code = server.end(number)

        ends = [_read_to_the_end(client) for client in clients]
        assert silent.fileno()
    assert code == 0
    assert all(told.endswith(b"0\r\n\r\n") for told in ends)


def _client(server: ServerProcess) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)
    client.sendall(f"GET {JOBS}/stream HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
    told = b""
    while b"id: 0\n\n" not in told:
        piece = client.recv(4_096)
        assert piece, told
        told += piece
    return client


def _read_to_the_end(client: socket.socket) -> bytes:
    told = b""
    while more := client.recv(4_096):
        told += more
    return told


def test_a_command_under_way_comes_to_its_end_when_the_server_is_told_to_end(workshop: Workshop) -> None:
    assert workshop.milepost("event-stores", "create").code == 0
    body = b'{"type": "self-test"}'
    with (
        serving(workshop) as server,
        closing(sqlite3.connect(workshop.file, isolation_level=None)) as other,
        closing(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS)) as client,
    ):
        other.execute("BEGIN IMMEDIATE")  # so that it has to wait
        client.sendall(
            f"POST {JOBS} HTTP/1.1\r\nHost: localhost:{server.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert client.recv(4_096).startswith(b"HTTP/1.1 100")  # it is under way
        client.sendall(body)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: _is_closed(server), "the server takes no more connections")
        other.execute("ROLLBACK")

        assert client.recv(4_096).startswith(b"HTTP/1.1 201")
        assert server.process.wait(PATIENCE_SECONDS) == 0


def _is_closed(server: ServerProcess) -> bool:
    try:
        with connected(server.port) as connection:
            connection.connect()
    except ConnectionError:
        return True
    return False


def test_a_port_that_is_taken_is_said(workshop: Workshop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = workshop.milepost("serve", "--port", str(taken.getsockname()[1]))

    assert done.code == 5
    assert "Cannot listen at 127.0.0.1:" in done.err
