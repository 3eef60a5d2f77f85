"""What is on disk: the bytes of events, and how older and newer ones are read."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.events import (
    EVENT_CLASSES,
    DomainEvent,
    ErrorDetail,
    JobEvent,
    JobStarted,
    JobStopRequested,
    Policy,
    Progress,
    StepFailed,
    StepProgressed,
    StepStarted,
    StepSucceeded,
)
from milepost.infrastructure.event_store import codec
from milepost.infrastructure.event_store.codec import UnreadableEvent, decode, encode

WORKER = Origin("w1", "worker")
JOB = UUID("0199b4de-0000-7000-8000-000000000001")
EVENT = UUID("0199b4de-0000-7000-8000-000000000002")
AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
META = '"meta":{"id":"0199b4de-0000-7000-8000-000000000002","at":"2026-01-02T03:04:05.000678+00:00",'


def recorded(event: JobEvent, origin: Origin = WORKER) -> RecordedEvent:
    return RecordedEvent(JOB, 3, EVENT, AT, origin, event)


def stored(event: JobEvent, origin: Origin = WORKER) -> str:
    ((originator, version, topic, state),) = encode(JOB, [recorded(event, origin)])
    assert (originator, version, topic) == (JOB.hex, 3, event.topic)
    return state.decode()


def test_the_bytes_of_a_step_event_are_these_for_ever() -> None:
    assert stored(StepStarted(step=4, attempt=1)) == (
        "{" + META + '"actor":"w1","source":"worker"},"event":{"step":4,"attempt":1}}'
    )


def test_the_bytes_of_progress_leave_out_what_is_not_there() -> None:
    progress = Progress(done=2, checkpoint={"row": None})

    assert stored(StepProgressed(step=4, attempt=1, progress=progress)) == (
        "{" + META + '"actor":"w1","source":"worker"},'
        '"event":{"step":4,"attempt":1,"progress":{"done":2.0,"checkpoint":{"row":null}}}}'
    )


def test_the_bytes_of_an_operators_event_say_why() -> None:
    assert stored(JobStopRequested(), Origin("ada@engine", "cli", 'a "deploy"', "c-1")) == (
        "{" + META + '"actor":"ada@engine","source":"cli","reason":"a \\"deploy\\"","correlation_id":"c-1"},"event":{}}'
    )


def test_the_facts_of_a_job_are_stored_whole_so_that_later_defaults_do_not_change_them() -> None:
    started = JobStarted(namespace="Default", job_type="import", request={"a": None})

    body = json.loads(stored(started))["event"]

    assert set(body) == set(JobStarted.model_fields)
    assert set(body["policy"]) == set(Policy.model_fields)
    assert body["request"] == {"a": None}


@pytest.mark.parametrize(
    "event",
    [
        JobStarted(
            namespace="D", job_type="t", request={"a": [1, {"b": None}]}, tags=("x",), policy=Policy(attempts=3)
        ),
        StepFailed(step=1, attempt=2, seconds=0.1, error=ErrorDetail(type="E", message="m", causes=("c",))),
        StepSucceeded(step=1, attempt=2, seconds=1e-9, progress=Progress(done=0.1, checkpoint="é\u2028🛫")),
        JobStopRequested(),
    ],
)
def test_what_is_read_is_what_was_written(event: JobEvent) -> None:
    written = recorded(event, Origin("ä", "cli", "ß", "c"))
    ((_, version, topic, state),) = encode(JOB, [written])

    assert decode(JOB, version, topic, state) == written


def test_an_event_of_an_unknown_topic_says_which_it_is_and_what_to_do() -> None:
    with pytest.raises(UnreadableEvent) as refused:
        decode(JOB, 3, "milepost:JobPaused", b"{}")

    assert (refused.value.job_id, refused.value.version, refused.value.topic) == (JOB, 3, "milepost:JobPaused")
    assert str(refused.value) == (
        f"Event 3 of job {JOB} (milepost:JobPaused) cannot be read:"
        " this Milepost does not know such events, a newer one wrote it. Upgrade Milepost."
    )


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (b"", "EOF"),
        (b"[]", "Input should be an object"),
        (b'{"event":{"step":1,"attempt":1}}', "meta: Field required"),
        (b'{"meta":{"id":"x","at":"y","actor":"a","source":"s"},"event":{"step":1,"attempt":1}}', "UUID"),
        (b"{" + META.encode() + b'"actor":"a","source":"s"},"event":{"step":1}}', "event.attempt: Field required"),
        (b"{" + META.encode() + b'"actor":"a","source":"s"},"event":{"step":1,"attempt":1,"x":1}}', "event.x: Extra"),
        (b"{" + META.encode() + b'"actor":"a","source":"s"},"event":{"step":"one","attempt":1}}', "event.step"),
    ],
)
def test_an_event_that_is_not_what_it_should_be_is_refused_when_read(state: bytes, cause: str) -> None:
    with pytest.raises(UnreadableEvent, match=cause):
        decode(JOB, 3, StepStarted.topic, state)


def test_an_event_that_cannot_be_read_does_not_tell_its_values() -> None:
    state = b"{" + META.encode() + b'"actor":"a","source":"s"},"event":{"step":"hunter2","attempt":1}}'

    with pytest.raises(UnreadableEvent) as refused:
        decode(JOB, 3, StepStarted.topic, state)
    assert "hunter2" not in str(refused.value)


class StepStartedInVersion3(DomainEvent):
    """What StepStarted might be one day: the worker's name was added, then `step` was called `index`."""

    topic = "milepost:StepStarted"
    class_version = 3
    index: int
    attempt: int
    worker: str

    @staticmethod
    def upcast_v1_v2(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "worker": "unknown"}

    @staticmethod
    def upcast_v2_v3(body: dict[str, Any]) -> dict[str, Any]:
        return {"index": body.pop("step"), **body}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {**EVENT_CLASSES, StepStarted.topic: StepStartedInVersion3}
    monkeypatch.setattr(codec, "EVENT_CLASSES", classes)


GOLDEN = {
    1: "{" + META + '"actor":"w1","source":"worker"},"event":{"step":4,"attempt":1}}',
    2: "{"
    + META
    + '"actor":"w1","source":"worker"},"class_version":2,"event":{"step":4,"attempt":1,"worker":"unknown"}}',
    3: "{"
    + META
    + '"actor":"w1","source":"worker"},"class_version":3,"event":{"index":4,"attempt":1,"worker":"unknown"}}',
}


@pytest.mark.parametrize("version", GOLDEN)
@pytest.mark.usefixtures("later")
def test_events_of_every_older_version_are_lifted_when_read(version: int) -> None:
    read = decode(JOB, 3, StepStarted.topic, GOLDEN[version].encode())

    event: DomainEvent = read.event
    assert event == StepStartedInVersion3(index=4, attempt=1, worker="unknown")
    assert read.origin == Origin("w1", "worker")


@pytest.mark.usefixtures("later")
def test_the_version_is_stored_with_the_event_once_it_is_above_1() -> None:
    written = recorded(StepStartedInVersion3(index=4, attempt=1, worker="unknown"))  # type: ignore[arg-type]
    ((_, _, _, state),) = encode(JOB, [written])

    assert state.decode() == GOLDEN[3]


def test_an_event_of_a_newer_version_says_so_and_what_to_do() -> None:
    with pytest.raises(UnreadableEvent, match=r"it is of version 2, this Milepost knows 1.*Upgrade Milepost"):
        decode(JOB, 3, StepStarted.topic, GOLDEN[2].encode())


def test_a_newer_event_is_refused_even_where_its_fields_are_the_same() -> None:
    state = GOLDEN[1].replace('"event"', '"class_version":2,"event"')

    with pytest.raises(UnreadableEvent, match="it is of version 2"):
        decode(JOB, 3, StepStarted.topic, state.encode())


@pytest.mark.usefixtures("later")
def test_an_older_event_that_is_not_what_it_should_be_is_refused() -> None:
    state = GOLDEN[1].replace('"step":4,', "")

    with pytest.raises(UnreadableEvent, match="step"):
        decode(JOB, 3, StepStarted.topic, state.encode())
