"""What webhooks are told, and what is shown of them: documents."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from milepost.infrastructure.settings import masked
from milepost.interfaces.documents import Document, to_json
from milepost.interfaces.result_documents import EventDocument

if TYPE_CHECKING:
    from milepost.infrastructure.event_store.announcements import Announced
    from milepost.infrastructure.event_store.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class AnnouncedJob(Document):
    """The job that a message is about, as it was when the event had happened."""

    id: str
    namespace: str
    type: str
    details: str
    tags: list[str]
    status: str


@dataclass(frozen=True, slots=True)
class Announcement(Document):
    """What a message tells."""

    webhook: str
    """The name of the webhook."""
    event_store: str
    job: AnnouncedJob | None
    """Null in a ping."""
    event: EventDocument | None
    """As 'milepost jobs history' shows it; null in a ping."""


@dataclass(frozen=True, slots=True)
class WebhookMessage(Document):
    """The body of what is sent to a webhook: the envelope of Standard Webhooks."""

    type: str
    """job.completed, job.completed_with_failures, job.failed … or ping."""
    timestamp: str
    """When it happened."""
    data: Announcement


@dataclass(frozen=True, slots=True)
class WebhookDocument(Document):
    """A webhook, and how far it has been told."""

    name: str
    url: str
    """Without secrets among its parameters."""
    on: list[str]
    namespace: str | None
    """The one that it is about; null: all."""
    types: list[str] | None
    """The job types that it is about; null: all."""
    state: str
    """active, retrying (its next try is due at nextTry) or paused."""
    waiting: int
    """Events that it has yet to be told of; at most 1,000 are counted."""
    delivered: int
    failures: int
    """Tries in vain of the event that is next."""
    failing_since: str | None
    next_try: str | None
    last_success: str | None
    last_failure: str | None
    last_failure_message: str | None
    paused: str | None
    """Why."""
    created: str
    created_by: str
    secret: str | None = None
    """Shown once, by 'milepost webhooks add', where it was not given."""


@dataclass(frozen=True, slots=True)
class PingResult(Document):
    """What a receiver answered to a ping."""

    name: str
    accepted: bool
    """Whether it answered 2xx."""
    status: int | None
    """The HTTP status; null where there was no answer."""
    message: str
    seconds: float


def webhook_document(webhook: "Webhook", waiting: int, secret: str | None = None) -> WebhookDocument:
    state = "paused" if webhook.paused else "retrying" if webhook.failures else "active"
    return WebhookDocument(
        name=webhook.name,
        url=masked(webhook.url),
        on=list(webhook.occasions),
        namespace=webhook.namespace,
        types=None if webhook.types is None else list(webhook.types),
        state=state,
        waiting=waiting,
        delivered=webhook.delivered,
        failures=webhook.failures,
        failing_since=_time(webhook.failing_since),
        next_try=_time(webhook.next_try_at),
        last_success=webhook.last_success_at,
        last_failure=webhook.last_failure_at,
        last_failure_message=webhook.last_failure,
        paused=webhook.paused,
        created=webhook.created_at,
        created_by=webhook.created_by,
        secret=secret,
    )


def message(kind: str, timestamp: str, announcement: Announcement) -> bytes:
    """The body as it is signed and sent."""
    document = to_json(WebhookMessage(kind, timestamp, announcement))
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def announced_job(announced: "Announced") -> AnnouncedJob:
    return AnnouncedJob(
        id=str(announced.job_id),
        namespace=announced.namespace,
        type=announced.job_type,
        details=announced.details,
        tags=json.loads(announced.tags),
        status=announced.status,
    )


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
