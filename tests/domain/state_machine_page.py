"""Writes the tables in docs/state-machine.md anew: `python -m tests.domain.state_machine_page`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from milepost.domain import transition_table

PAGE: Final = Path(__file__).parents[2] / "docs" / "state-machine.md"
PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "statuses": transition_table.status_table,
    "diagram": transition_table.diagram,
    "job": transition_table.job_table,
    "step statuses": transition_table.step_status_table,
    "steps": transition_table.step_table,
}


def rendered(page: str) -> str:
    """The page with each part between its two marks as the code has it."""
    for name, render in PARTS.items():
        before, begin, rest = page.partition(f"<!-- {name}: from the code -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"the page does not hold the part {name!r} between its two marks")
        page = f"{before}{begin}{render()}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
