"""What stands on disk for ever: the stored name, version and fields of every event, pinned by examples."""

import json
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from pydantic import ValidationError

from milepost.domain.events import EVENT_CLASSES, DomainEvent, JobEvent

GOLDEN: Final[list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "stored_events.json").read_text(encoding="utf-8")
)
EVENTS: Final[tuple[type[DomainEvent], ...]] = get_args(JobEvent)
of_each_example = pytest.mark.parametrize("stored", GOLDEN, ids=lambda stored: stored["example"])


def test_every_topic_is_unique() -> None:
    assert len(EVENT_CLASSES) == len(EVENTS) == len({event.topic for event in EVENTS})


def test_every_event_has_examples_with_all_its_fields_and_with_only_those_it_must_have() -> None:
    for event in EVENTS:
        examples = [set(stored["event"]) for stored in GOLDEN if stored["topic"] == event.topic]

        assert set(event.model_fields) in examples, f"{event.__name__}: add an example with all its fields"
        assert {name for name, field in event.model_fields.items() if field.is_required()} in examples


@of_each_example
def test_what_was_stored_once_can_be_read_for_ever(stored: dict[str, Any]) -> None:
    event = EVENT_CLASSES[stored["topic"]].model_validate(stored["event"])

    assert event.class_version >= stored["class_version"]


@of_each_example
def test_what_was_read_is_stored_as_it_was(stored: dict[str, Any]) -> None:
    event = EVENT_CLASSES[stored["topic"]].model_validate(stored["event"])

    assert event.model_dump(mode="json", exclude_unset=True) == stored["event"]
    assert EVENT_CLASSES[event.topic].model_validate_json(event.model_dump_json(exclude_defaults=True)) == event


@of_each_example
def test_a_field_that_is_not_known_is_refused_rather_than_lost(stored: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EVENT_CLASSES[stored["topic"]].model_validate({**stored["event"], "unheard_of": 1})


@of_each_example
def test_an_event_is_frozen(stored: dict[str, Any]) -> None:
    event = EVENT_CLASSES[stored["topic"]].model_validate(stored["event"])

    for name in type(event).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(event, name, None)
