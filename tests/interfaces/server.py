"""A real server in a thread of the process that tests, which serves one event store after the other."""

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, cast

import uvicorn

from milepost.infrastructure.settings import Settings
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.http.app import Served, build

TIME_OUT: Final = 60  # for a thread that hangs: nothing is measured by it
Message = MutableMapping[str, Any]


class Whichever:
    """Stands for what is served at the moment."""

    def __init__(self, now: Callable[[], Served]) -> None:
        self._now = now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)


class Server:
    """Listens once it is made. Starting uvicorn anew for each test would take longer than the tests."""

    def __init__(self) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._serving: tuple[Settings, Application, Served] | None = None
        # One for all: building its routes takes longer than most tests.
        self._app = build(cast("Served", Whichever(self._now)))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self._answer, interface="asgi3", lifespan="off", log_config=None, access_log=False)
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [self._socket]})
        self._thread.start()

    def serve(self, settings: Settings, *, open_to_all_here: bool = True) -> None:
        """The event store of these settings, from now on, as `milepost serve` would with them."""
        if self._serving is not None and self._serving[0] == settings:
            return
        self.leave()
        app = Application(settings)
        served = Served(app, open_to_all_here=open_to_all_here)
        self._serving = settings, app, served

    def _now(self) -> Served:
        assert self._serving is not None, "something is served"
        return self._serving[2]

    def leave(self) -> None:
        """The event store that was served."""
        if self._serving is not None:
            _, app, served = self._serving
            if self._loop is not None:
                asyncio.run_coroutine_threadsafe(_end_streams(served), self._loop).result(TIME_OUT)
            served.close()
            app.close()
            self._serving = None

    def end(self) -> None:
        self.leave()
        self._uvicorn.should_exit = True
        self._thread.join(TIME_OUT)
        self._socket.close()

    async def _answer(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)


async def _end_streams(served: Served) -> None:
    served.end_streams()
