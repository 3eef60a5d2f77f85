"""Every event of a job is chained to the one before it, whoever appends, and also what is older than the chain."""

import hashlib
import threading
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from milepost.domain.commands import ReportProgress, StartStep
from milepost.domain.events import Progress
from milepost.domain.job import Job
from milepost.infrastructure.audit import chaining
from milepost.infrastructure.audit.chain import GENESIS, link, links
from milepost.infrastructure.event_store import schema
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE
from milepost.infrastructure.event_store.store import JobStore, StreamMoved
from tests.infrastructure.audit.stored import events_of, tamper
from tests.infrastructure.event_store.scene import Scene, Surroundings

OLDEST = Path(__file__).parents[1] / "event_store" / "schema_1.sql"


def is_one_chain(database: Database, job_id: UUID) -> bool:
    found = events_of(database, job_id)
    made = links(GENESIS, job_id, [(version, topic, state) for version, topic, state, _ in found])
    return [version for version, *_ in found] == list(range(1, len(found) + 1)) and made == [each[3] for each in found]


def test_a_link_covers_what_was_before_the_job_the_version_the_topic_and_the_bytes() -> None:
    job_id = UUID("0192f0c1-2a3b-7c4d-8e5f-000102030405")
    whole = bytes(32) + job_id.bytes + b"\0\0\0\0\0\0\0\x07" + b"\0\0\0\x05" + b"t\xc3\xb6pi" + b"{}"

    assert link(GENESIS, job_id, 7, "töpi", b"{}") == hashlib.sha256(whole).digest()


def test_each_append_goes_on_with_the_chain(scene: Scene) -> None:
    job = scene.running(steps=3)
    job = scene.succeed(job, 0, 1, 2)
    other = scene.start()
    scene.stop(other.id)

    assert is_one_chain(scene.store.database, job.id)
    assert is_one_chain(scene.store.database, other.id)


def test_topics_and_texts_beyond_ascii_are_chained_alike_on_all_stores(scene: Scene) -> None:
    job = scene.running(steps=1)
    said = Progress(done=1, message="Zürich → 東京", checkpoint={"städte": ["ß", 1.5]})

    job = scene.do(job, StartStep(job.claim, 0), ReportProgress(job.claim, 0, 1, said))

    assert is_one_chain(scene.store.database, job.id)


def test_a_large_save_of_many_events_is_one_chain(scene: Scene) -> None:
    job = scene.running(steps=300)
    job = scene.succeed(job, *range(300))

    assert is_one_chain(scene.store.database, job.id)


def test_two_rivals_make_one_chain(scene: Scene) -> None:
    job = scene.running(steps=40)
    database, refused = scene.store.database, list[int]()

    def work(mine: int) -> None:
        own = Scene(JobStore(database, Surroundings()), Surroundings())
        at: Job = job
        for step in range(mine, 40, 2):
            while True:
                try:
                    at = own.do(at, StartStep(at.claim, step))
                    break
                except StreamMoved:
                    refused.append(step)
                    at = own.store.catch_up(at)

    rivals = [threading.Thread(target=work, args=(mine,)) for mine in (0, 1)]
    for each in rivals:
        each.start()
    for each in rivals:
        each.join()

    assert len(events_of(database, job.id)) == job.version + 40
    assert is_one_chain(database, job.id)


def test_a_refused_append_leaves_the_chain_as_it_is(scene: Scene) -> None:
    job = scene.running(steps=2)
    scene.do(job, StartStep(job.claim, 0))

    with pytest.raises(StreamMoved):
        scene.do(job, StartStep(job.claim, 1))

    assert is_one_chain(scene.store.database, job.id)


def test_a_store_of_version_4_is_chained_when_it_is_opened_and_goes_on(scene: Scene, url: str) -> None:
    first, second = scene.completed(), scene.running(steps=2)
    with scene.store.database.write() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {EVENTS_TABLE} DROP COLUMN chain")
        schema.COMMANDS_BY_JOB.drop(connection)
        schema.tombstones.drop(connection)
        schema.retention.drop(connection)
        connection.execute(schema.schema.update().values(version=4))

    with closing(open_database(url)) as database:
        again = Scene(JobStore(database, Surroundings()), Surroundings())
        second = again.succeed(again.store.load(second.id), 0)

        assert schema.version_of(database) == schema.VERSION
        assert is_one_chain(database, first.id)
        assert is_one_chain(database, second.id)


def test_more_events_than_a_page_are_chained_page_by_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [scene.running(steps=2), scene.completed(), scene.start()]
    tamper(scene.store.database, f"UPDATE {EVENTS_TABLE} SET chain = NULL")
    monkeypatch.setattr(chaining, "PAGE", 2)

    with scene.store.database.write() as connection:
        chaining.chain_all(connection)

    assert all(is_one_chain(scene.store.database, job.id) for job in jobs)


def test_what_the_first_milepost_wrote_is_chained(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    raw = engine.raw_connection()
    raw.cursor().connection.executescript(OLDEST.read_text())
    raw.close()
    engine.dispose()

    with closing(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")) as database:
        JobStore(database, Surroundings())

        assert is_one_chain(database, UUID("01a20ed9-8fe7-7583-9003-298c997360a6"))
