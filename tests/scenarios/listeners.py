"""Many readers of one stream in a process of their own, each of which checks by versions that it hears all, once.

    python -m tests.scenarios.listeners PORT PATH READERS

says `open` when all of them are; is then told, by a line on standard input, the versions that the jobs have come to;
and says what it found when every reader has come so far, or nobody hears anything any more.
"""

import asyncio
import json
import re
import resource
import sys
import time
from datetime import datetime
from functools import partial
from typing import Any, Final

# A piece of an answer holds whole events, so that what frames the pieces never stands inside of a line.
EVENT: Final = re.compile(rb'\nid: ([0-9a-f-]{36}):(\d+)\nevent: \w+\ndata: [^\n]*?"occurred":"([^"]+)"')
OPENED_AT_ONCE: Final = 20
SILENCE_SECONDS: Final = 20.0
MEASURED: Final = 10  # every so manieth reader notes how long each event took


class Reader(asyncio.Protocol):
    """One connection."""

    def __init__(self, path: str, measures: bool) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.versions: dict[bytes, int] = {}
        self.wrong: list[str] = []
        self.latencies: list[float] = []
        self.heard_at = time.monotonic()
        self.heard = 0
        self.pieces = 0
        self._path, self._measures = path, measures
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        host = f"localhost:{transport.get_extra_info('peername')[1]}"
        transport.write(f"GET {self._path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self.pieces += 1
        data = self._rest + data
        whole = data.rfind(b"\n\n") + 1
        if not self.opened.done():
            if not whole:
                self._rest = data
                return
            if not data.startswith(b"HTTP/1.1 200"):
                self.wrong.append(data.decode())
            self.opened.set_result(None)
        self._rest = data[whole:]
        for job, version, occurred in EVENT.findall(data, 0, whole):
            self._hears(job, int(version))
            if self._measures:
                self.latencies.append(time.time() - datetime.fromisoformat(occurred.decode()).timestamp())
        self.heard_at = time.monotonic()

    def _hears(self, job: bytes, version: int) -> None:
        before = self.versions.get(job, 0)
        if version != before + 1:
            self.wrong.append(f"{job.decode()}: version {version} after {before}")
        self.versions[job] = version
        self.heard += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.wrong.append(f"its stream ended ({exc})")


async def listen(port: int, path: str, count: int) -> dict[str, Any]:
    """What they found."""
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    for first in range(0, count, OPENED_AT_ONCE):
        opening = [
            loop.create_connection(partial(Reader, path, number % MEASURED == 0), "127.0.0.1", port)
            for number in range(first, min(first + OPENED_AT_ONCE, count))
        ]
        opened = [reader for _, reader in await asyncio.gather(*opening)]
        await asyncio.gather(*(reader.opened for reader in opened))
        readers += opened
    print("open", flush=True)  # noqa: T201 - to whoever started this
    told = json.loads(await asyncio.to_thread(sys.stdin.readline))
    expected = {job.encode(): version for job, version in told.items()}
    total = sum(expected.values())
    while any(reader.heard < total and time.monotonic() - reader.heard_at < SILENCE_SECONDS for reader in readers):
        await asyncio.sleep(0.05)
    wrong = [text for reader in readers for text in reader.wrong]
    wrong += [f"heard {reader.heard} of {total}" for reader in readers if reader.versions != expected]
    latencies = sorted(latency for reader in readers for latency in reader.latencies)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "readers": len(readers),
        "heard": sum(reader.heard for reader in readers),
        "pieces": sum(reader.pieces for reader in readers),
        "wrong": wrong[:20],
        "latencies": latencies,
        "cpu": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(listen(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))))  # noqa: T201
