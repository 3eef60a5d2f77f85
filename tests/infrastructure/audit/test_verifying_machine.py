"""Whatever happened to jobs, nothing differs; and whichever byte is changed then, its event is named."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from milepost.infrastructure.audit.differences import Kind
from milepost.infrastructure.audit.verifying import Verifier
from milepost.infrastructure.event_store.schema import EVENTS_TABLE
from tests.infrastructure.audit.stored import events_of, tamper
from tests.infrastructure.event_store.test_store_machine import StoreMachine
from tests.length import FULL
from tests.postgres import fresh_url


class Audited(StoreMachine):
    """Operators and workers do what they like; then an auditor comes, and then a forger."""

    def rows_are_the_fold_and_so_is_what_is_loaded(self) -> None:
        """That has a test of its own."""

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.audit()
                if self.ids:
                    self.forge()
        finally:  # a connection that is left open fails the test that happens to run when it is collected
            super().teardown()

    def audit(self) -> None:
        verifier = Verifier(self.store.database)
        assert list(verifier.all()) == []
        assert verifier.tally.jobs == len(self.ids)
        assert verifier.tally.events == sum(self.store.load(job_id).version for job_id in self.ids)

    def forge(self) -> None:
        random, database = self.surroundings.random, self.store.database
        job_id = random.choice(self.ids)
        version, _, state, _ = random.choice(events_of(database, job_id))
        at = random.randrange(len(state))
        forged = state[:at] + bytes([state[at] ^ 1 << random.randrange(8)]) + state[at + 1 :]
        which = "WHERE originator_id=? AND originator_version=?"
        tamper(database, f"UPDATE {EVENTS_TABLE} SET state=? {which}", forged, job_id.hex, version)

        (found,) = Verifier(database).all()

        assert (found.job_id, found.version, found.kind) == (str(job_id), version, Kind.EVENT_CHANGED)


class OnServer(Audited):
    """The same on PostgreSQL."""

    url = staticmethod(fresh_url)


@pytest.mark.parametrize(
    ("machine", "examples"),
    [(Audited, 100 if FULL else 40), (OnServer, 10 if FULL else 5)],
    ids=["memory", "server"],
)
def test_no_history_is_called_false_that_is_true_and_each_that_was_changed_is(
    machine: type[StoreMachine], examples: int
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, derandomize=True, database=None
        ),
    )
