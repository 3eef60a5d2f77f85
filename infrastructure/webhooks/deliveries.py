"""The deliverer: a thread beside a worker or server that tells webhooks what has happened. See ADR/0018."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Final

from milepost.domain.envelope import RecordedEvent
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.all_streams import PlaceGone
from milepost.infrastructure.event_store.announcements import Announced, Announcements
from milepost.infrastructure.event_store.codec import UnreadableEvent
from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database, DatabaseUnavailable
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.lease_time import CLOCKS_APART_SECONDS
from milepost.infrastructure.event_store.webhooks import Webhook, Webhooks
from milepost.infrastructure.webhooks.pace import Pace, asked_to_wait
from milepost.infrastructure.webhooks.signing import headers, message_id

if TYPE_CHECKING:
    from milepost.infrastructure.webhooks.sending import Answer, Sender

log = logging.getLogger("milepost.webhooks")

TAKEN_AT_ONCE: Final = 50  # events of one webhook under one claim; then others have their turn
PASSED_OVER: Final = 10_000  # events that are none of its business, until a webhook's position is written again
TROUBLE_SECONDS: Final = 0.5

Compose = Callable[[Webhook, Announced, RecordedEvent], bytes]  # the body of a message


@dataclass(frozen=True, slots=True)
class _Seen:
    """There is nothing for a webhook that stands at `place` up to `until`."""

    place: EventKey | None
    until: EventKey | None


@dataclass(slots=True)
class _Telling:
    """A webhook that this process holds: the event that is being told, and those that come after it."""

    webhook: Webhook
    event: Announced
    rest: list[Announced]
    answer: "Future[Answer]"


class Deliveries:
    """All is done in `turn`, by one thread; only the sending is another's.

    Events of one webhook are told one after the other in the order of their commits: none before the one in front of
    it was accepted. Nothing is read while nobody writes, and next to nothing while there is no webhook.
    """

    def __init__(
        self, database: Database, surroundings: Surroundings, compose: Compose, pace: Pace | None = None
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{surroundings.new_id().hex[-6:]}"
        self._database = database
        self._surroundings = surroundings
        self._compose = compose
        self._pace = pace or Pace()
        self._webhooks = Webhooks(database, surroundings)
        self._announcements = Announcements(database)
        self._sender: Sender | None = None
        self._under_way: dict[str, _Telling] = {}
        self._seen: dict[str, _Seen] = {}  # by webhook
        self._marker: int | None = None
        self._known = True  # whether there was a webhook at the last look
        self._looked_at = float("-inf")
        self._look_at: float | None = None  # the next time at which a try or a lease is due
        self._look_again = True
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._settling = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="milepost-webhooks", daemon=True)

    def __enter__(self) -> "Deliveries":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._bell.set()
        self._thread.join()

    def settle(self, seconds: float) -> bool:
        """Wait until all that can be told now has been told; whether that was so in time."""
        self._settling.set()
        self._bell.set()
        return self._settled.wait(seconds)

    def turn(self) -> None:
        """One round: hear answers, look for what is new, send. Waits for nobody but the database.

        Raises DatabaseUnavailable, CannotOpenDatabase; the next round goes on from there.
        """
        settling = self._settling.is_set()  # now: what was written before that is found by the look that follows
        for telling in [each for each in self._under_way.values() if each.answer.done()]:
            self._carefully(telling.webhook, partial(self._hear, telling))
        if settling or self._must_look():
            self._look()
        if settling and not self._under_way and not self._look_again:
            self._settled.set()

    def rest(self, seconds: float) -> None:
        """Until an answer is there, or somebody waits for this, or the time is up."""
        self._bell.wait(seconds)
        self._bell.clear()

    def leave(self) -> None:
        """Hear what comes in time, and let go of the rest, so that nobody waits for a lease."""
        deadline = time.monotonic() + self._pace.leave_seconds
        try:
            for telling in list(self._under_way.values()):
                self._wait(telling.answer, deadline)
                if telling.answer.done():
                    self._carefully(telling.webhook, partial(self._hear, telling))
                else:
                    self._webhooks.release(telling.webhook, self.name)
        except (DatabaseUnavailable, CannotOpenDatabase) as error:
            log.warning("webhooks are held until their lease has run out: %s", error)
        self._under_way.clear()
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    # -- what is new

    def _must_look(self) -> bool:
        if not self._known and self._surroundings.monotonic() < self._looked_at + self._pace.quiet_seconds:
            return False
        marker = self._database.change_marker()
        due = self._look_at is not None and self._surroundings.now().timestamp() >= self._look_at
        if marker == self._marker and not due and not self._look_again:
            return False
        self._marker = marker  # of before the look: what is written meanwhile is looked for again
        return True

    def _look(self) -> None:
        self._look_again = False
        self._looked_at = self._surroundings.monotonic()
        found = self._webhooks.all()
        self._known = bool(found)
        now = self._surroundings.now().timestamp()
        waits = [until for each in found if (until := self._waits_until(each, now)) is not None]
        self._look_at = min(waits, default=None)
        ready = [each for each in found if self._may_tell(each, now)]
        if not ready:
            return
        last = self._announcements.newest()
        for webhook in ready:
            if len(self._under_way) >= self._pace.at_once:
                self._look_at = now + self._pace.listen_seconds  # the end of one of them is heard before that
                return
            self._carefully(webhook, partial(self._take_up, webhook, last))

    def _may_tell(self, webhook: Webhook, now: float) -> bool:
        free = not webhook.held and webhook.id not in self._under_way
        return free and webhook.paused is None and self._waits_until(webhook, now) is None

    def _waits_until(self, webhook: Webhook, now: float) -> float | None:
        """When it is to be looked at again, where that is not now. A clock that was set back keeps nobody waiting."""
        if webhook.paused is not None or webhook.id in self._under_way:
            return None
        if webhook.held:
            return webhook.held_until
        at = webhook.next_try_at
        return (
            at if at is not None and now < at <= now + self._pace.longest_wait_seconds + CLOCKS_APART_SECONDS else None
        )

    def _take_up(self, webhook: Webhook, last: EventKey | None) -> None:
        try:
            events = self._new_to(webhook, last)
        except PlaceGone as gone:
            self._seen.pop(webhook.id, None)
            if gone.key == webhook.place:
                self._lost(webhook)
            else:  # what was looked through: it is looked through again
                self._look_again = True
            return
        if not events:
            self._seen[webhook.id] = _Seen(webhook.place, last)
        elif self._webhooks.claim(webhook, self.name, self._pace.hold_seconds):
            self._tell(webhook, events)
        else:
            self._look_again = True  # another was faster, or an operator has changed it

    def _new_to(self, webhook: Webhook, last: EventKey | None) -> list[Announced]:
        """Raises PlaceGone."""
        seen = self._seen.get(webhook.id)
        after = webhook.place if seen is None or seen.place != webhook.place else seen.until
        events = list(islice(self._announcements.after(after, last, webhook), TAKEN_AT_ONCE))
        if not events and last is not None and self._announcements.between(webhook.place, last) >= PASSED_OVER:
            self._webhooks.pass_over(webhook, last)
        return events

    def _lost(self, webhook: Webhook) -> None:
        why = (
            "the event that it was told of last is not in the event store any more, so nobody knows what comes next:"
            f" 'milepost webhooks resume {webhook.name} --from-now' goes on with what happens from then on"
        )
        if self._webhooks.lost(webhook, why):
            log.warning("webhook %s is paused: %s", webhook.name, why)

    # -- telling

    def _carefully(self, webhook: Webhook, do: Callable[[], None]) -> None:
        """A defect is this webhook's alone: it is tried again like what its receiver refuses, and shown."""
        try:
            do()
        except (DatabaseUnavailable, CannotOpenDatabase):
            raise
        except Exception as error:  # noqa: BLE001 - kept with the webhook, and logged by what tries it later
            self._under_way.pop(webhook.id, None)
            self._webhooks.claim(webhook, self.name, self._pace.hold_seconds)  # where it came before that
            self._try_later(webhook, f"a defect: {type(error).__name__}: {error}", None, error)
            self._look_again = True

    def _tell(self, webhook: Webhook, events: list[Announced]) -> None:
        event, *rest = events
        try:
            recorded = event.recorded()
        except UnreadableEvent as error:  # of a newer Milepost, say, which will tell it
            self._try_later(webhook, str(error), None)
            return
        body = self._compose(webhook, event, recorded)
        answer = self._send(webhook, message_id(webhook.id, recorded.event_id), body)
        answer.add_done_callback(lambda _: self._bell.set())
        self._under_way[webhook.id] = _Telling(webhook, event, rest, answer)

    def _send(self, webhook: Webhook, identity: str, body: bytes) -> "Future[Answer]":
        from milepost.infrastructure.webhooks.sending import Message, Sender  # where nobody is told, it is not needed

        if self._sender is None:
            self._sender = Sender(self._pace.connect_seconds, self._pace.answer_seconds)
        stamp = int(self._surroundings.now().timestamp())
        return self._sender.send(Message(webhook.url, headers(webhook.secret, identity, stamp, body), body))

    def _hear(self, telling: _Telling) -> None:
        """What became of it is written before anything else is told; where it cannot be, it is heard again."""
        answer, webhook = telling.answer.result(), telling.webhook
        if not answer.accepted:
            self._failed(webhook, answer)
            self._end(webhook)
            return
        if webhook.failures:
            log.info("webhook %s: its receiver accepts events again", webhook.name)
        more = self._pace.hold_seconds if telling.rest and not self._closing.is_set() else None
        if self._webhooks.told(webhook, self.name, telling.event.key, more):
            del self._under_way[webhook.id]
            fresh = _afresh(webhook, telling.event.key)
            self._carefully(fresh, partial(self._tell, fresh, telling.rest))
        else:
            self._end(webhook)

    def _end(self, webhook: Webhook) -> None:
        del self._under_way[webhook.id]
        self._look_again = True

    def _failed(self, webhook: Webhook, answer: "Answer") -> None:
        if answer.gone:
            why = "its receiver answered 410 Gone: it wants nothing more"
            self._give_up(webhook, answer.said, why)
        else:
            self._try_later(webhook, answer.said, answer.retry_after)

    def _try_later(self, webhook: Webhook, said: str, retry_after: str | None, defect: Exception | None = None) -> None:
        now = self._surroundings.now()
        since = webhook.failing_since
        if since is not None and now.timestamp() - since >= self._pace.give_up_seconds:
            days = self._pace.give_up_seconds / 86_400
            self._give_up(webhook, said, f"it could not be told for {days:g} days")
            return
        asked = asked_to_wait(retry_after, now)
        wait = self._pace.wait_seconds(webhook.failures + 1, self._surroundings.chance(), asked)
        self._webhooks.failed(webhook, self.name, said, now.timestamp() + wait)
        if webhook.failures == 0:  # once, not at every try
            log.warning("webhook %s: %s. Its events wait, and are tried again", webhook.name, said, exc_info=defect)

    def _give_up(self, webhook: Webhook, said: str, why: str) -> None:
        self._webhooks.give_up(webhook, self.name, said, why)
        log.warning(
            "webhook %s is paused: %s (%s). 'milepost webhooks resume %s' goes on",
            webhook.name,
            why,
            said,
            webhook.name,
        )

    # -- the thread

    def _run(self) -> None:
        trouble = False
        while not self._closing.is_set():
            try:
                self.turn()
                trouble = False
            except (DatabaseUnavailable, CannotOpenDatabase) as error:
                if not trouble:  # once, not at every try
                    log.warning("webhooks wait: %s", error)
                trouble = True
            except Exception:
                log.exception("webhooks: a defect; they are tried again")
                trouble = True
            self.rest(TROUBLE_SECONDS if trouble else self._pace.listen_seconds)
        self.leave()

    def _wait(self, answer: "Future[Answer]", deadline: float) -> None:
        while not answer.done() and (left := deadline - time.monotonic()) > 0:
            self.rest(left)


def _afresh(webhook: Webhook, place: EventKey) -> Webhook:
    """As it is once it has been told of an event: the next one is tried for the first time."""
    return replace(webhook, place=place, failures=0, failing_since=None, next_try_at=None)
