"""The documented example of embedding runs as it is printed, on the domain alone."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text(encoding="utf-8")
FORBIDDEN: Final = ("sqlalchemy", "eventsourcing", "typer", "rich", "milepost.infrastructure", "milepost.interfaces")
WHAT_WAS_IMPORTED: Final = f"""
import sys
print("unwanted:", sorted(set({FORBIDDEN!r}) & set(sys.modules)))
"""


def block(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def output(tmp_path: Path) -> list[str]:
    """What the page's program prints, in a process and a folder of its own."""
    program = block("example") + block("use") + WHAT_WAS_IMPORTED
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_the_documented_program_prints_what_the_page_says(output: list[str]) -> None:
    promised = re.findall(r"^print\(.*\)  # (.*)$", block("use"), re.MULTILINE)

    assert len(promised) == 2
    assert output[:2] == promised


def test_the_documented_program_imports_the_domain_and_nothing_that_stores_or_shows(output: list[str]) -> None:
    assert output[-1] == "unwanted: []"


def test_the_documented_program_takes_twenty_lines() -> None:
    lines = [line for line in block("example").splitlines() if line.strip()]

    assert len([line for line in lines if not line.startswith(("import", "from"))]) <= 20
