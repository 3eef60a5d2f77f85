"""Who listens to a stream, and what waits to be sent to them: never more than a bound."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

MOST_WAITING: Final = 8_000_000  # bytes, which all that hear the same share; whoever is further behind is sent away
MOST_AT_ONCE: Final = 256_000  # bytes of one piece, which the connection may keep until its other side takes them
TOO_SLOW: Final = b": too far behind, come again from the last id\n\n"
TOKEN_GONE: Final = b": the token does not hold any more\n\n"


class Subject(NamedTuple):
    """What is listened to: a namespace's jobs, or one of them."""

    namespace: str
    job_id: UUID | None


@dataclass(eq=False)
class Listener:
    """One stream. All but its making is done in the loop of the server.

    `token`: the name of the one that it was opened with; None where the server is open.
    """

    subject: Subject
    token: str | None = None
    ended: bool = False
    heard_at: float = field(default_factory=time.monotonic)  # when it was last sent anything
    stuck_since: float | None = None  # since when its connection takes nothing
    _waiting: deque[bytes] = field(default_factory=deque[bytes])
    _size: int = 0
    _wake: "asyncio.Future[None] | None" = None

    def give(self, piece: bytes) -> None:
        """Keep it until it can be sent; where there is no room, this listener ends."""
        if self.ended:
            return
        if self._size and self._size + len(piece) > MOST_WAITING:
            self.end(TOO_SLOW)
            return
        self._waiting.append(piece)
        self._size += len(piece)
        self._woken()

    def end(self, why: bytes = b"") -> None:
        """What waits is dropped: the client comes again from the last one that it heard."""
        if not self.ended:
            self.ended = True
            self._waiting.clear()
            self._waiting.append(why)
            self._woken()

    async def next(self) -> bytes:
        """All that waits, up to a bound, as soon as there is anything. After the end: why, and then nothing."""
        while not self._waiting and not self.ended:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if not self._waiting:
            return b""
        pieces = [self._waiting.popleft()]
        size = len(pieces[0])
        while self._waiting and size + len(self._waiting[0]) <= MOST_AT_ONCE:
            size += len(self._waiting[0])
            pieces.append(self._waiting.popleft())
        self._size -= size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _woken(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def joined(blocks: Iterable[bytes]) -> list[bytes]:
    """The same in pieces as large as may be sent at once."""
    pieces: list[list[bytes]] = [[]]
    size = 0
    for block in blocks:
        if pieces[-1] and size + len(block) > MOST_AT_ONCE:
            pieces.append([])
            size = 0
        pieces[-1].append(block)
        size += len(block)
    return [b"".join(each) for each in pieces if each]
