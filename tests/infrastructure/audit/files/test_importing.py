"""A history that comes into another event store is the one that left the first, or it stays out."""

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from milepost.domain.commands import PlanSteps, PrepareJob, RemoveJob, ReportSuccess, StartStep
from milepost.domain.events import PlannedStep
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.audit.importing import HistoryBroken
from milepost.infrastructure.audit.lines import LinesInvalid
from milepost.infrastructure.audit.verifying import Verifier
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.job_not_found import JobPruned
from milepost.infrastructure.event_store.schema import webhooks
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.audit.files.archive import Archive
from tests.infrastructure.audit.pruned import half_prune, long_job, prune
from tests.infrastructure.event_store.rows import folded, kept
from tests.infrastructure.event_store.scene import OPERATOR, Scene, Surroundings
from tests.infrastructure.event_store.test_store_machine import OnServer, StoreMachine
from tests.length import FULL
from tests.postgres import fresh_url

EVERY_STATUS = JobFilter(statuses=tuple(JobStatus))


def test_an_imported_history_is_the_same_and_so_are_the_rows_that_follow_from_it(
    archive: Archive, other: Archive, file: Path
) -> None:
    ids = archive.furnish()
    archive.export(file)

    done = other.import_(file, live=True)

    assert {each.job_id: each.fate for each in done} == dict.fromkeys(ids, "imported")
    assert other.events() == archive.events()
    assert kept(other.store) == kept(archive.store) == folded(other.store)[0]
    assert [other.store.load(job_id) for job_id in ids] == [archive.store.load(job_id) for job_id in ids]


def test_a_long_history_comes_whole(archive: Archive, other: Archive, file: Path) -> None:
    job = archive.scene.claimed(only=archive.scene.start().id)
    planned = tuple(PlannedStep(name=f"s{n}") for n in range(1_500))
    job = archive.scene.do(job, PlanSteps(job.claim, 0, planned), PrepareJob(job.claim))
    steps = [
        command for n in range(1_500) for command in (StartStep(job.claim, n), ReportSuccess(job.claim, n, 1, 0.5))
    ]
    archive.scene.do(job, *steps)
    archive.export(file)

    (done,) = other.import_(file, live=True)

    assert (done.fate, done.events) == ("imported", 3_004)
    assert other.events() == archive.events()
    assert kept(other.store) == kept(archive.store)


def test_a_second_import_changes_nothing_and_says_so(archive: Archive, other: Archive, file: Path) -> None:
    archive.furnish()
    archive.export(file)
    other.import_(file, live=True)
    before = other.events()

    again = other.import_(file, live=True)

    assert {(each.fate, each.why) for each in again} == {("there", "it is here already")}
    assert other.events() == before


def test_an_import_that_was_cut_short_goes_on_where_it_was(
    archive: Archive, other: Archive, file: Path, tmp_path: Path
) -> None:
    first, *_ = archive.furnish()
    archive.export(tmp_path / "part", [str(first)])
    archive.export(file)
    other.import_(tmp_path / "part")

    done = other.import_(file, live=True)

    assert [each.fate for each in done] == ["there", "imported", "imported"]
    assert other.events() == archive.events()


def test_a_job_that_has_gone_on_here_is_left_as_it_is(archive: Archive, other: Archive, file: Path) -> None:
    job_id = archive.scene.start().id
    archive.export(file)
    other.import_(file, live=True)
    other.scene.stop(job_id)

    (done,) = other.import_(file, live=True)

    assert (done.fate, done.why) == ("there", "it is here already, and has gone on since")


def test_a_job_that_is_there_with_other_events_is_refused_and_the_rest_comes(
    archive: Archive, other: Archive, file: Path
) -> None:
    job_id = archive.scene.start().id
    archive.export(file)
    other.import_(file, live=True)
    other.scene.surroundings.wait(5)
    other.scene.stop(job_id)
    archive.scene.stop(job_id)
    archive.scene.completed()
    archive.export(file, replace=True)
    before = kept(other.store)

    refused, imported = other.import_(file)

    assert (refused.fate, refused.why) == ("refused", "it is here already, and its event 2 here is another one")
    assert imported.fate == "imported"
    assert kept(other.store)["milepost_jobs"][0] == before["milepost_jobs"][0]


def test_a_job_that_has_fewer_events_here_is_refused(archive: Archive, other: Archive, file: Path) -> None:
    job_id = archive.scene.start().id
    archive.export(file)
    other.import_(file, live=True)
    archive.scene.stop(job_id)
    archive.export(file, replace=True)

    (refused,) = other.import_(file)

    assert (refused.fate, refused.why) == ("refused", "it is here already, and has only 1 of its events here")


def test_a_pruned_job_is_back_when_its_archive_is_imported(archive: Archive, file: Path) -> None:
    job = archive.scene.completed()
    before, rows = archive.events(), kept(archive.store)
    archive.export(file)
    prune(archive.scene)
    assert archive.events() == []

    (done,) = archive.import_(file)

    assert (done.fate, archive.events(), kept(archive.store)) == ("imported", before, rows)
    assert archive.store.as_of(job.id, version=job.version) == job
    verifier = Verifier(archive.database)
    assert (list(verifier.all()), verifier.tally.pruned) == ([], 0)
    prune(archive.scene)
    assert archive.events() == []


def test_only_the_history_that_was_pruned_comes_back(archive: Archive, other: Archive, file: Path) -> None:
    job = archive.scene.completed()
    archive.export(file)
    archive.scene.store.execute("Default", job.id, lambda _: RemoveJob(), OPERATOR)
    prune(archive.scene)

    (refused,) = archive.import_(file)

    assert (refused.fate, archive.events()) == ("refused", [])
    assert refused.why == "it was pruned here, and its 8 events were not those of the file"
    assert [each.fate for each in other.import_(file)] == ["imported"]
    with pytest.raises(JobPruned):
        archive.store.as_of(job.id, version=1)


def test_a_job_whose_prune_is_not_finished_is_not_imported(
    archive: Archive, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = long_job(archive.scene)
    archive.export(file)
    half_prune(archive.scene, monkeypatch, job, parts=1)

    (refused,) = archive.import_(file)
    assert (refused.fate, refused.why) == ("refused", "its prune is not finished: import it again when it is")

    prune(archive.scene)
    assert [each.fate for each in archive.import_(file)] == ["imported"]


def test_a_webhook_that_stood_at_a_pruned_event_misses_nothing_when_the_job_is_back(
    archive: Archive, file: Path
) -> None:
    first, job = archive.scene.completed(), archive.scene.completed()
    archive.export(file, [str(job.id)])
    with archive.database.write() as connection:
        at = {"place_job": str(job.id), "place_version": 3, "delivered": 0, "failures": 0}
        named = dict.fromkeys(("id", "name", "url", "secret", "occasions", "created_at", "created_by"), "x")
        connection.execute(webhooks.insert().values(named | at))
    prune(archive.scene)
    archive.scene.start()

    archive.import_(file)

    with archive.database.read() as connection:
        place = connection.execute(sa.select(webhooks.c.place_job, webhooks.c.place_version)).one()
    assert tuple(place) == (str(first.id), first.version)


def test_a_job_that_is_not_at_rest_is_imported_only_where_that_is_meant(
    archive: Archive, other: Archive, file: Path
) -> None:
    running, completed = archive.scene.running(), archive.scene.completed()
    archive.export(file)

    first = {each.job_id: each for each in other.import_(file)}
    assert (first[running.id].fate, first[completed.id].fate) == ("refused", "imported")
    assert "it is Running, not at rest" in first[running.id].why
    assert other.store.load(running.id).version == 0

    second = {each.job_id: each.fate for each in other.import_(file, live=True)}
    assert second == {running.id: "imported", completed.id: "there"}
    assert other.scene.claimed("w2", only=running.id).claim == 2, "a worker goes on with it"


def test_no_second_live_job_of_a_key_is_imported(archive: Archive, other: Archive, file: Path) -> None:
    archive.scene.start(key="k")
    archive.export(file)
    other.scene.surroundings.wait(5)
    other.scene.start(key="k")

    (done,) = other.import_(file, live=True)

    assert done.fate == "refused"
    assert "which has the same key 'k'" in done.why


def test_what_a_database_cannot_keep_stays_out_and_the_rest_comes(archive: Archive, other: Archive, file: Path) -> None:
    first, second = archive.scene.completed(), archive.scene.start()
    archive.scene.stop(second.id)
    archive.export(file)
    altered = file.read_bytes().replace(rb'"priority\":0', rb'"priority\":%d' % 10**30, 1)
    file.write_bytes(sealed(linked(altered.splitlines(keepends=True))))

    done = {each.job_id: each for each in other.import_(file)}

    assert {job_id: each.fate for job_id, each in done.items()} == {first.id: "refused", second.id: "imported"}
    assert "this database cannot keep" in done[first.id].why
    assert other.store.load(first.id).version == 0


Lines = list[bytes]


def sealed(lines: Lines) -> bytes:
    """With a digest that is right."""
    body = b"".join(lines[:-1])
    return body + b'{"sha256":"%s"}\n' % hashlib.sha256(body).hexdigest().encode()


def edited(line: bytes, **values: Any) -> bytes:
    return json.dumps({**json.loads(line), **values}, separators=(",", ":")).encode() + b"\n"


def linked(lines: Lines) -> Lines:
    """With chains that are right."""
    made, previous, job_id = lines[:1], GENESIS, None
    for line in lines[1:-1]:
        event = json.loads(line)
        previous = GENESIS if event["jobId"] != job_id else previous
        job_id = event["jobId"]
        previous = link(previous, UUID(job_id), event["version"], event["topic"], event["state"].encode())
        made.append(edited(line, chain=previous.hex()))
    return [*made, lines[-1]]


def removed(line: bytes) -> bytes:
    meta = json.loads(json.loads(line)["state"])["meta"]
    return edited(line, topic="JobRemoved", state=json.dumps({"meta": meta, "event": {}}))


def said(lines: Lines, topic: str, **values: Any) -> bytes:
    """Another file, in which each event of that topic says these values; `at` is when it was recorded."""
    found = [lines[0]]
    for line in lines[1:-1]:
        if json.loads(line)["topic"] == f"milepost:{topic}":
            state = json.loads(json.loads(line)["state"])
            state["event"] |= {name: value for name, value in values.items() if name != "at"}
            state["meta"] |= {name: value for name, value in values.items() if name == "at"}
            line = edited(line, state=json.dumps(state))
        found.append(line)
    return sealed(linked([*found, lines[-1]]))


def never_succeeded(lines: Lines) -> bytes:
    """The same but for the successes of its steps."""
    found, version, job_id = lines[:1], 0, None
    for line in lines[1:-1]:
        event = json.loads(line)
        version, job_id = 0 if event["jobId"] != job_id else version, event["jobId"]
        if event["topic"] != "milepost:StepSucceeded":
            version += 1
            found.append(edited(line, version=version))
    return sealed(linked([*found, lines[-1]]))


def flipped(lines: Lines) -> bytes:
    return b"".join(lines).replace(b"ada@engine", b"eve@engine", 1)


ALTERED: dict[str, tuple[Callable[[Lines], bytes], str]] = {
    "a flipped byte": (flipped, "does not follow in the chain"),
    "the last line cut": (lambda lines: b"".join(lines)[:-5], "the file was cut off"),
    "no last line": (lambda lines: b"".join(lines[:-1]), "the file was cut off"),
    "an event less": (lambda lines: sealed([*lines[:3], *lines[4:]]), "event 4 of job"),
    "two events swapped": (
        lambda lines: sealed([*lines[:2], lines[3], lines[2], *lines[4:]]),
        "stands where 2 should",
    ),
    "an actor forged": (
        lambda lines: sealed(
            [*lines[:2], edited(lines[2], state=json.loads(lines[2])["state"].replace("w1", "w9")), *lines[3:]]
        ),
        "does not follow in the chain",
    ),
    "a job less": (lambda lines: sealed([*lines[:8], lines[-1]]), "the manifest says 2 jobs and 14 events"),
    "another number of jobs": (lambda lines: sealed([edited(lines[0], jobs=3), *lines[1:]]), "the manifest says 3"),
    "a job twice": (lambda lines: sealed([*lines[:-1], *lines[1:8], lines[-1]]), "which has the greater id"),
    "another namespace": (lambda lines: sealed([edited(lines[0], namespace="Other"), *lines[1:]]), "of namespace"),
    "a line behind": (lambda lines: b"".join([*lines, lines[1]]), "behind the last line"),
    "another digest": (lambda lines: b"".join([*lines[:-1], edited(lines[-1], sha256="0" * 64)]), "the digest"),
    "a newer format": (lambda lines: sealed([edited(lines[0], formatVersion=2), *lines[1:]]), "a newer one wrote it"),
    "another format": (lambda _: b'{"format":"else"}\n', "it is no milepost-export"),
    "no text at all": (lambda _: b"\x00\xff" * 40, "it is no milepost-export"),
    "nothing": (lambda _: b"", "it is no milepost-export"),
    "a field more": (lambda lines: sealed([lines[0], edited(lines[1], more=1), *lines[2:]]), "more"),
    "no bytes": (lambda lines: sealed([lines[0], edited(lines[1], state=None), *lines[2:]]), "either state or"),
    "bad base64": (
        lambda lines: sealed([lines[0], edited(lines[1], state=None, stateBase64="?"), *lines[2:]]),
        "stateBase64",
    ),
    "what cannot have happened": (
        lambda lines: sealed(linked([*lines[:2], removed(lines[2]), *lines[3:]])),
        "cannot be folded",
    ),
    "an event that nobody knows": (
        lambda lines: sealed(linked([*lines[:2], edited(lines[2], topic="JobDreamt"), *lines[3:]])),
        "this Milepost does not know such events",
    ),
    "a time of no zone": (lambda lines: said(lines, "JobStarted", at="2026-01-02T03:04:05"), "not in UTC"),
    "a time of another zone": (lambda lines: said(lines, "JobClaimed", at="2026-01-02T03:04:05+02:00"), "not in UTC"),
    "a claim out of turn": (lambda lines: said(lines, "JobClaimed", claim=7), "is claim 7, behind claim 0"),
    "a plan with a gap": (lambda lines: said(lines, "StepsPlanned", first=2), "plans steps from 2 on, behind 0"),
    "a plan of another size": (lambda lines: said(lines, "JobPrepared", total_steps=9), "that 9 steps are planned"),
    "an attempt out of turn": (lambda lines: said(lines, "StepStarted", attempt=3), "starts attempt 3 behind"),
    "a report of another attempt": (lambda lines: said(lines, "StepSucceeded", attempt=2), "while attempt 1 runs"),
    "an end before the steps'": (never_succeeded, "of which 1 steps have not ended"),
}  # fmt: skip


@pytest.mark.parametrize(("alter", "told"), ALTERED.values(), ids=ALTERED)
def test_a_file_that_is_not_what_was_exported_is_refused_before_anything_is_written(
    alter: Callable[[Lines], bytes], told: str, file: Path
) -> None:
    archive, other = in_memory(), in_memory()
    archive.scene.completed()
    archive.scene.completed()
    archive.export(file)
    altered = alter(file.read_bytes().splitlines(keepends=True))
    assert altered != file.read_bytes()
    file.write_bytes(altered)

    with pytest.raises((LinesInvalid, HistoryBroken), match=told):
        other.import_(file)

    assert other.events() == []


def in_memory() -> Archive:
    surroundings = Surroundings()
    return Archive(Scene(JobStore(open_database("sqlite://"), surroundings), surroundings))


class ExportMachine(StoreMachine):
    """Whatever has happened, at its end all of it is exported, imported elsewhere, and exported from there."""

    def rows_are_the_fold_and_so_is_what_is_loaded(self) -> None:
        """Others look after that; here it would take most of the time."""

    def a_lease_is_of_the_worker_that_the_history_names(self) -> None:
        """Likewise."""

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                with closing(open_database(self.url())) as database:
                    there_and_back(Archive(Scene(self.store, self.surroundings)), database)
        finally:  # a connection that is left open fails the test that happens to run when it is collected
            super().teardown()


class ExportOnServer(ExportMachine, OnServer):
    """The same on PostgreSQL."""

    url = staticmethod(fresh_url)


def there_and_back(archive: Archive, database: Database) -> None:
    surroundings = Surroundings()
    other = Archive(Scene(JobStore(database, surroundings), surroundings))
    with TemporaryDirectory() as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        archive.export(first, EVERY_STATUS)
        done = other.import_(first, live=True)
        other.export(second, EVERY_STATUS)
        assert {each.fate for each in done} <= {"imported"}
        assert first.read_bytes() == second.read_bytes()
    assert kept(other.store) == kept(archive.store)


@pytest.mark.parametrize(
    ("machine", "examples"),
    [(ExportMachine, 30 if FULL else 15), (ExportOnServer, 3 if FULL else 2)],
    ids=["memory", "server"],
)
def test_what_is_exported_imported_and_exported_again_is_byte_for_byte_the_same(
    machine: type[StoreMachine], examples: int
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, derandomize=True, database=None
        ),
    )
