"""However much has happened to an observer between two looks, no more than a page of it is read at once."""

import asyncio
import json
import re
from dataclasses import dataclass, field, replace

from milepost.interfaces.http.listener import Listener, Subject
from milepost.interfaces.http.observer_feed import PAGE, ObserverFeed
from milepost.interfaces.observer_documents import ObserverDocument, ObserverEventDocument
from milepost.interfaces.read_observer_documents import observer_document

MANY = 4 * PAGE + 7


@dataclass
class Eventful:
    """An observer to which much happens; `pages`: how many were asked for at each look."""

    version: int = 0
    pages: list[int] = field(default_factory=list[int])

    def observers(self) -> list[ObserverDocument]:
        self.pages.append(0)
        return [replace(observer_document(None, None, "busy", "Default"), version=self.version)]

    def observer_history(self, name: str, *, after: int = 0, limit: int | None = None) -> list[ObserverEventDocument]:
        self.pages[-1] += 1
        last = min(self.version, after + (limit or MANY))
        return [
            ObserverEventDocument(name, version, str(version), "ObserverPaused", "", "", "", "", "", None, {})
            for version in range(after + 1, last + 1)
        ]


def test_a_flood_of_events_is_told_page_by_page_each_once_and_in_order() -> None:
    observing = Eventful()

    async def heard() -> list[int]:
        feed = ObserverFeed(lambda _: observing, asyncio.get_running_loop())
        listener = Listener(Subject("Default", None))
        begin = await asyncio.to_thread(feed.join, listener)
        assert begin.place == {"busy": 0}
        observing.version = MANY
        found: list[int] = []
        while len(found) < MANY:
            told = (await listener.next()).decode()
            found += [json.loads(each)["version"] for each in re.findall(r"event: ObserverPaused\ndata: (.*)", told)]
        await asyncio.to_thread(feed.close)
        return found

    assert asyncio.run(asyncio.wait_for(heard(), 60)) == list(range(1, MANY + 1))
    assert max(observing.pages) == 1
