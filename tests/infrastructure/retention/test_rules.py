"""Rules of retention as a settings file says them, and what is refused of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.pruning import ENDED, PruneRule
from milepost.infrastructure.retention.rules import RetentionRule, rules_of
from milepost.infrastructure.settings import SettingsInvalid, resolve

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def rules(folder: Path, toml: str, event_store: str | None = None) -> tuple[RetentionRule, ...]:
    (folder / "milepost.toml").write_text(toml)
    return rules_of(resolve(event_store=event_store, environ={"MILEPOST_CONFIG_DIR": str(folder)}, folder=folder))


def test_a_rule_means_what_it_says(tmp_path: Path) -> None:
    toml = """
        [[retention]]
        name = "failed-imports"
        older_than = "30d"
        keep = 100
        statuses = ["Failed", "Cancelled"]
        types = ["import"]
        namespace = "Flights"
        archive = "kept"
    """

    (rule,) = rules(tmp_path, toml)

    assert rule.told == "rule failed-imports (older_than 30d, keep 100)"
    assert rule.archive == tmp_path / "kept"
    statuses = (JobStatus.FAILED, JobStatus.CANCELLED)
    assert rule.at(NOW) == PruneRule("Flights", NOW - timedelta(days=30), statuses, ("import",), 100)


def test_what_a_rule_does_not_say_is_not_restricted(tmp_path: Path) -> None:
    (rule,) = rules(tmp_path, '[[retention]]\nname = "old"\nolder_than = "8w"\n')

    assert rule.archive is None
    assert rule.at(NOW) == PruneRule(None, NOW - timedelta(weeks=8), ENDED)


def test_a_rule_of_another_event_store_is_not_carried_out_here(tmp_path: Path) -> None:
    toml = """
        [event_stores]
        flights = "sqlite:///flights.sqlite"
        [[retention]]
        name = "everywhere"
        older_than = "30d"
        [[retention]]
        name = "flights"
        event_store = "flights"
        keep = 10
    """

    assert [each.name for each in rules(tmp_path, toml)] == ["everywhere"]
    assert [each.name for each in rules(tmp_path, toml, "flights")] == ["everywhere", "flights"]


def test_where_there_are_no_rules_nothing_is_pruned(tmp_path: Path) -> None:
    assert rules(tmp_path, "") == ()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('name = "old"\nolder_than = "soon"', "retention rule 'old': older_than: 'soon' is no age"),
        ('name = "old"\nolder_than = "6m"', "retention rule 'old': older_than: '6m' would be minutes"),
        ('name = "old"\nolder_than = "0d"', "retention rule 'old': older_than: '0d' is no age"),
        ('name = "old"\nolder_than = "999999999999w"', "retention rule 'old': older_than:"),
        ('name = "old"\nolder_than = 30', "retention rule 'old': older_than: Input should be a valid string"),
        ('name = "old"', "retention rule 'old': older_than: it is not said how old"),
        ('older_than = "30d"', "retention rule no. 1: name: Field required"),
        ('name = "a/b"\nolder_than = "30d"', "retention rule 'a/b': name: use 1 to 100 letters"),
        ('name = "old"\nolder_than = "30d"\nkeep = -1', "retention rule 'old': keep: Input should be greater"),
        ('name = "old"\nkeep = 0', "retention rule 'old': keep: 0 says nothing; write older_than"),
        ('name = "old"\nolder_than = "30d"\nstatuses = ["Stopped"]', "'old': statuses: 'Stopped' is none of a job"),
        ('name = "old"\nolder_than = "30d"\nstatuses = []', "'old': statuses: List should have at least 1 item"),
        ('name = "old"\nolder_than = "30d"\ntypes = "import"', "'old': types: Input should be a valid list"),
        ('name = "old"\nolder_than = "30d"\ncolour = "red"', "retention rule 'old': colour: Extra inputs"),
        (
            'name = "old"\nkeep = 1\narchive = "~nobody-has-it/kept"',
            "'old': archive: '~nobody-has-it/kept' is no folder",
        ),
        ('name = "old"\nkeep = 1\narchive = "a\\u0000b"', "retention rule 'old': archive: "),
        ('name = "old"\nkeep = 1\nnamespace = "my flights"', "'old': namespace: 'my flights' cannot be the name of"),
        ('name = "old"\nkeep = 1\nevent_store = ""', "'old': event_store: '' cannot be the name of one"),
        (
            'name = "old"\nolder_than = "30d"\n[[retention]]\nname = "old"\nkeep = 1',
            "retention rule 'old': name: 2 rules have this name",
        ),
    ],
)
def test_a_bad_rule_is_refused_by_its_name_and_field(said: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        rules(tmp_path, f"[[retention]]\n{said}\n")

    assert told in str(refused.value)
    assert str(tmp_path / "milepost.toml") in str(refused.value)


@pytest.mark.parametrize("said", ["retention = 3", "retention = [3]", '[retention]\nname = "old"'])
def test_what_is_no_table_is_refused(said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"retention must be tables: \[\[retention\]\]"):
        rules(tmp_path, said)
