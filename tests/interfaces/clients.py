"""Both clients with one face, so that a test is the same for both."""

import asyncio
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from milepost.client import AsyncClient, Client


class Awaited:
    """An asynchronous client, awaited at once."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self._client, self._runner = client, runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def awaited(*args: Any, **kwargs: Any) -> Any:
            found = method(*args, **kwargs)
            return self._each(found) if inspect.isasyncgen(found) else self._runner.run(found)

        return awaited

    def _each(self, found: Any) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(found)

        try:
            while True:
                try:
                    yield self._runner.run(following())
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(found.aclose())


@contextmanager
def opened(kind: str, url: str, **more: Any) -> Generator[Client]:
    """A client of that kind, with the face of the synchronous one."""
    if kind == "sync":
        with Client(url, **more) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        asynchronous = AsyncClient(url, **more)
        yield cast("Client", Awaited(asynchronous, runner))
        runner.run(asynchronous.close())
