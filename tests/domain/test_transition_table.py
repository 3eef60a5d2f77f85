"""What the documentation shows of the state machine is what the code does."""

import pytest

from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.domain.transition_table import MEANINGS, STEP_MEANINGS, diagram, job_table
from tests.domain.state_machine_page import PAGE, rendered


def test_the_page_holds_the_tables_that_the_code_renders() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page == rendered(page), "write it anew: python -m tests.domain.state_machine_page"


def test_a_page_that_lacks_a_table_is_refused_rather_than_left_as_it_is() -> None:
    with pytest.raises(ValueError, match="does not hold the part"):
        rendered("# A page without tables")


def test_every_status_has_a_meaning() -> None:
    assert set(MEANINGS) == set(JobStatus)
    assert set(STEP_MEANINGS) == set(StepStatus)


def test_the_table_says_under_which_condition_an_event_leads_where() -> None:
    assert "| `JobStarted` | *(no job)* | `Pending` |  |" in job_table()
    assert "| `JobResumed` | `Stopping` | `Running` | its steps were prepared |" in job_table()
    assert "| `JobReleased` | `Cancelling` | *(stays)* |  |" in job_table()


def test_the_diagram_shows_the_ways_between_states_and_not_what_stays() -> None:
    assert "    Stopping --> Stopped : JobStopped" in diagram()
    assert "StepStarted" not in diagram()
