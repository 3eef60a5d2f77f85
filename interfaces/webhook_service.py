"""What can be asked about the webhooks of an event store that this process opens itself."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from milepost.infrastructure.event_store.all_streams import PlaceGone
from milepost.infrastructure.event_store.announcements import Announced, Announcements
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.occasions import OCCASIONS, PING, message_type, refuse_unknown
from milepost.infrastructure.event_store.webhooks import Webhook, Webhooks, Wish
from milepost.infrastructure.webhooks.pace import Pace
from milepost.infrastructure.webhooks.signing import headers, key_of, new_secret
from milepost.interfaces.bootstrap import Application, user_at_host
from milepost.interfaces.error_mapping import REFUSED, Told
from milepost.interfaces.local_service import event_document
from milepost.interfaces.webhook_documents import (
    Announcement,
    PingResult,
    WebhookDocument,
    announced_job,
    message,
    webhook_document,
)

if TYPE_CHECKING:
    from milepost.domain.envelope import RecordedEvent
    from milepost.infrastructure.webhooks.deliveries import Deliveries

__all__ = ["OCCASIONS", "WebhookService", "deliveries"]

COUNTED: Final = 1_000  # of the events that wait


class WebhookService:
    """Documents out. All raise CannotOpenDatabase, DatabaseUnavailable.

    `makes_one`: where there is no event store yet.
    """

    def __init__(self, app: Application, *, makes_one: bool = False) -> None:
        self._app = app
        self._database: Database = app.database if makes_one else app.reading
        self._surroundings = app.surroundings
        self._webhooks = Webhooks(self._database, self._surroundings)
        self._announcements = Announcements(self._database)

    def add(
        self,
        name: str,
        url: str,
        occasions: tuple[str, ...],
        *,
        namespace: str | None,
        types: tuple[str, ...] | None,
        from_start: bool,
        secret: str | None,
    ) -> WebhookDocument:
        """Raises UnknownOccasion, SecretInvalid, WebhookNameTaken."""
        refuse_unknown(occasions)
        made = secret or new_secret()
        key_of(made)
        wish = Wish(name, url, made, occasions, namespace, types, from_start)
        webhook = self._webhooks.add(wish, user_at_host())
        return webhook_document(webhook, self._waiting(webhook), None if secret else made)

    def all(self) -> list[WebhookDocument]:
        return [self._document(each) for each in self._webhooks.all()]

    def show(self, name: str) -> WebhookDocument:
        """Raises WebhookNotFound."""
        return self._document(self._webhooks.named(name))

    def remove(self, name: str) -> WebhookDocument:
        """Raises WebhookNotFound."""
        return webhook_document(self._webhooks.remove(name), 0)

    def pause(self, name: str) -> WebhookDocument:
        """Raises WebhookNotFound."""
        return self._document(self._webhooks.pause(name, f"by {user_at_host()}"))

    def resume(self, name: str, *, from_now: bool) -> WebhookDocument:
        """Raises WebhookNotFound."""
        return self._document(self._webhooks.resume(name, from_now=from_now))

    def skip(self, name: str) -> WebhookDocument:
        """Leave out the event that it cannot be told of. Raises WebhookNotFound; Told where none fails."""
        webhook = self._webhooks.named(name)
        event = next(self._behind(webhook), None)
        if event is None or not webhook.failures:
            raise Told(
                REFUSED, f"No event fails of webhook '{name}': there is none to leave out", "See 'webhooks show'"
            )
        return self._document(self._webhooks.skip(webhook, event.key))

    def ping(self, name: str) -> PingResult:
        """Send it a signed message that is about no job, now and from here. Raises WebhookNotFound."""
        from milepost.infrastructure.webhooks.sending import Message, Sender

        webhook, now, pace = self._webhooks.named(name), self._surroundings.now(), Pace()
        told = Announcement(webhook.name, self._app.settings.event_store.value, None, None)
        body = message(message_type(PING), now.isoformat(timespec="microseconds"), told)
        identity = f"msg_{self._surroundings.new_id().hex}"
        sender, began = Sender(pace.connect_seconds, pace.answer_seconds), time.monotonic()
        try:
            signed = headers(webhook.secret, identity, int(now.timestamp()), body)
            answer = sender.send(Message(webhook.url, signed, body)).result()
        finally:
            sender.close()
        seconds = round(time.monotonic() - began, 3)
        return PingResult(webhook.name, answer.accepted, answer.status, answer.said, seconds)

    def _document(self, webhook: Webhook) -> WebhookDocument:
        return webhook_document(webhook, self._waiting(webhook))

    def _waiting(self, webhook: Webhook) -> int:
        return sum(1 for _ in self._behind(webhook))

    def _behind(self, webhook: Webhook) -> Iterator[Announced]:
        """None where its place is gone: nobody knows them."""
        try:
            yield from islice(self._announcements.after(webhook.place, self._announcements.newest(), webhook), COUNTED)
        except PlaceGone:
            return


def deliveries(app: Application, pace: Pace | None = None) -> "Deliveries":
    """What tells webhooks, beside a worker or a server. Raises CannotOpenDatabase, DatabaseUnavailable."""
    from milepost.infrastructure.webhooks.deliveries import Deliveries

    event_store = app.settings.event_store.value

    def compose(webhook: Webhook, announced: Announced, recorded: "RecordedEvent") -> bytes:
        event = event_document(recorded, {})
        told = Announcement(webhook.name, event_store, announced_job(announced), event)
        return message(message_type(announced.occasion), event.occurred, told)

    return Deliveries(app.database, app.surroundings, compose, pace)
