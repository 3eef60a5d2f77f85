"""Sending messages: one thread with an event loop, in which a receiver that hangs costs nothing but a time-out."""

import asyncio
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import httpx

from milepost.infrastructure.webhooks.address import is_here

log = logging.getLogger("milepost.webhooks")

READ_MOST: Final = 300  # bytes of what a receiver says of its trouble
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Message:
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """`status`: None where there was none. `said`: what people should know of it."""

    status: int | None
    said: str
    retry_after: str | None = None

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        return self.status == GONE


class Sender:
    """Redirects are not followed, nothing is read of a good answer, and all of a try has one time limit."""

    def __init__(self, connect_seconds: float, answer_seconds: float) -> None:
        self._connect_seconds, self._answer_seconds = connect_seconds, answer_seconds
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._under_way = set[Future[Answer]]()
        self._client = self._opened()
        # A proxy would take "this machine" for its own. A transport of its own knows no proxy of the environment.
        self._client_here = self._opened(httpx.AsyncHTTPTransport())
        self._thread = threading.Thread(target=self._serve, name="milepost-webhooks-http", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> Future[Answer]:
        """From any thread; never raises but when closed."""
        answer = asyncio.run_coroutine_threadsafe(self._send(message), self._loop)
        self._under_way.add(answer)
        answer.add_done_callback(self._under_way.discard)
        return answer

    def close(self) -> None:
        """What is under way is broken off."""
        for answer in list(self._under_way):
            answer.cancel()  # and with it whatever it began: a connection's own tasks are ended by whoever awaits them
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def _opened(self, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(self._answer_seconds, connect=self._connect_seconds),
            follow_redirects=False,
            headers={"User-Agent": "Milepost-Webhooks", "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._open())

    async def _open(self) -> None:
        async with self._client, self._client_here:
            await self._ending.wait()
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    async def _send(self, message: Message) -> Answer:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._post(message)
        except httpx.ConnectTimeout:
            return Answer(None, f"no connection within {self._connect_seconds:g} s")
        except (TimeoutError, httpx.TimeoutException):
            return Answer(None, f"no answer within {self._answer_seconds:g} s")
        except (httpx.HTTPError, OSError) as error:
            return Answer(None, f"no answer: {str(error) or type(error).__name__}")
        except Exception as error:
            log.exception("webhooks: a defect in sending")  # of this message; the others do not wait for it
            return Answer(None, f"not sent: {type(error).__name__}: {error}")

    async def _post(self, message: Message) -> Answer:
        client = self._client_here if is_here(httpx.URL(message.url).host) else self._client
        request = client.build_request("POST", message.url, content=message.body, headers=dict(message.headers))
        response = await client.send(request, stream=True)
        try:
            said = f"answered {response.status_code}"
            if response.is_redirect:
                said += ", a redirect, which is not followed"
            elif not response.is_success and (more := await _beginning(response)):
                said += f": {more}"
            return Answer(response.status_code, said, response.headers.get("retry-after"))
        finally:
            await response.aclose()


async def _beginning(response: httpx.Response) -> str:
    """Of the body, what fits; a receiver may send without end."""
    found = b""
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) >= READ_MOST:
            break
    return found[:READ_MOST].decode("utf-8", "replace").strip()
