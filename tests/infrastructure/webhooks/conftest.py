"""A stage for deliveries: a store of each kind that several processes may share, and a clock that is set by hand."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from milepost.domain.commands import CancelJob, ResumeJob
from milepost.domain.envelope import RecordedEvent
from milepost.domain.job import Job
from milepost.infrastructure.event_store.announcements import Announced
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.event_store.webhooks import Webhook, Webhooks, Wish
from milepost.infrastructure.webhooks.deliveries import Deliveries
from milepost.infrastructure.webhooks.pace import Pace
from milepost.infrastructure.webhooks.signing import message_id, new_secret
from tests.infrastructure.event_store.scene import OPERATOR, Scene, Surroundings
from tests.stores import url_of


def compose(webhook: Webhook, announced: Announced, recorded: RecordedEvent) -> bytes:
    assert (recorded.job_id, recorded.version) == (announced.job_id, announced.version)
    told = {"job": str(announced.job_id), "version": announced.version, "occasion": announced.occasion}
    return json.dumps(told).encode()


@dataclass
class Stage:
    """What happens to jobs, who is told of it, and who tells."""

    url: str
    scene: Scene
    webhooks: Webhooks
    clock: Surroundings
    deliverers: list[Deliveries] = field(default_factory=list[Deliveries])
    databases: list[Database] = field(default_factory=list[Database])

    def webhook(
        self,
        url: str,
        *on: str,
        name: str = "hook",
        namespace: str | None = None,
        types: tuple[str, ...] | None = None,
        from_start: bool = False,
    ) -> Webhook:
        return self.webhooks.add(Wish(name, url, new_secret(), on, namespace, types, from_start), "ann@desk")

    def deliverer(self, pace: Pace | None = None) -> Deliveries:
        """As another process has it: with a database of its own. Its turns are given by hand."""
        self.databases.append(open_database(self.url))
        self.deliverers.append(Deliveries(self.databases[-1], self.clock, compose, pace))
        return self.deliverers[-1]

    def now(self, name: str = "hook") -> Webhook:
        return self.webhooks.named(name)

    def stopped(self) -> Job:
        """Started, stopped and resumed before anybody took it."""
        job = self.scene.start()
        self.scene.stop(job.id)
        return self.scene.store.execute("Default", job.id, lambda _: ResumeJob(), OPERATOR).job

    def cancelled(self) -> Job:
        job = self.scene.start()
        return self.scene.store.execute("Default", job.id, lambda _: CancelJob(worker_alive=False), OPERATOR).job

    def ids(self, webhook: Webhook, *places: tuple[Job, int]) -> list[str]:
        return [
            message_id(webhook.id, next(self.scene.store.history(job.id, version - 1)).event_id)
            for job, version in places
        ]

    def close(self) -> None:
        for deliverer in self.deliverers:
            deliverer.leave()
        for database in (*self.databases, self.scene.store.database):
            database.close()


def turns(deliverer: Deliveries, until: Callable[[], bool]) -> None:
    """As many as it takes."""
    while not until():
        deliverer.turn()
        deliverer.rest(0.01)


@pytest.fixture(params=["file", "server"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    url, clock = url_of(request.param, tmp_path), Surroundings()
    store = JobStore(open_database(url), clock)
    stage = Stage(url, Scene(store, clock), Webhooks(store.database, clock), clock)
    yield stage
    stage.close()
