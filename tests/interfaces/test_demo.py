"""The demonstration, as somebody meets it who has just installed Milepost."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MILEPOST = Path(sys.executable).with_name("milepost")


@pytest.mark.usefixtures("measured")
def test_the_demonstration_stops_its_job_half_way_resumes_it_and_imports_every_flight_once(tmp_path: Path) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'mine.sqlite'}"
    (tmp_path / "milepost.toml").write_text(
        f'default_event_store = "mine"\ndefault_namespace = "Real"\n[event_stores]\nmine = "{elsewhere}"\n'
    )
    done = subprocess.run(
        [MILEPOST, "demo", "--month", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "MILEPOST_URL": elsewhere, "TMPDIR": str(tmp_path), "COLUMNS": "120"},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    stopped = re.search(r"Stopped \S+ (\d+)/28 steps", done.stdout)
    assert stopped, done.stdout
    assert 14 <= int(stopped[1]) < 28
    assert "half-way, to show it" in done.stdout
    assert "is CompletedSuccessfully at 28/28 steps" in done.stdout
    assert "24,951 flights are now" in done.stdout
    assert "What to try next" in done.stdout
    assert not (tmp_path / "mine.sqlite").exists(), "the demonstration must keep away from real event stores"
