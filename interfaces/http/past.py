"""What the client of a stream missed, read page by page: from the event it heard last to where it joins the others."""

from typing import Final

from milepost.infrastructure.event_store.event_key import EventKey
from milepost.interfaces.http.feed import Begin, Feed
from milepost.interfaces.http.listener import Subject

PAGE: Final = 500  # events at once


class Past:
    """Of one subject, behind one of its events (None: from the very start)."""

    def __init__(self, subject: Subject, feed: Feed, key: EventKey | None) -> None:
        self.more = True  # than the pages so far
        self._subject, self._feed, self._key = subject, feed, key
        self._until: Begin | None = None

    def end_at(self, begin: Begin) -> None:
        """What comes behind that, others tell."""
        self._until = begin
        self.more = True

    def page(self) -> bytes:
        """The next events as they are written. Raises PlaceGone."""
        namespace, job_id = self._subject
        until = self._until
        if job_id is not None:
            key = self._key or EventKey(job_id, 0)
            own = None if until is None else 0 if until.own is None else until.own.version
            page = self._feed.streams.of_job(key, PAGE, until=own)
        elif until is not None and until.feed is None:
            return self._nothing_more()
        else:
            page = self._feed.streams.after(
                self._key, PAGE, until=None if until is None else until.feed, namespace=namespace
            )
        self._key, self.more = page.last, page.more
        return b"".join(self._feed.writer.written(page.events))

    def _nothing_more(self) -> bytes:
        self.more = False
        return b""
