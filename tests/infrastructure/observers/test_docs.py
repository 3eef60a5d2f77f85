"""Everything that docs/observers.md shows is run here as it stands there."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = (Path(__file__).parents[3] / "docs" / "observers.md").read_text(encoding="utf-8")
PYTHON: Final = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
TOML: Final = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS: Final = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.split("\n")
]
DEPOSITS: Final = """
from bank import Account, Bank
bank = Bank()
for owner in ("ann", "bob"):
    account = Account(owner)
    account.deposit(3)
    account.deposit(4)
    bank.save(account)
"""


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """The reader's folder, with two accounts."""
    (tmp_path / "bank.py").write_text(PYTHON[0])
    (tmp_path / "milepost.toml").write_text(TOML[0])
    database = tmp_path / "store.sqlite"
    found = {
        **os.environ,
        "HOME": str(tmp_path),
        "MILEPOST_URL": f"sqlite:///{database}",
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(database),
    }
    subprocess.run([sys.executable, "-c", DEPOSITS], cwd=tmp_path, env=found, check=True)
    return found


def test_the_commands_that_are_shown_work_one_after_the_other_and_build_the_read_model(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    import shlex
    import sqlite3
    from contextlib import closing

    for command in filter(None, COMMANDS):
        executable, *words = shlex.split(command)
        done = subprocess.run(
            [str(Path(sys.executable).with_name(executable)), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        # No worker runs any more when it is asked for the last time whether all is well.
        assert done.returncode == (3 if words[0] == "diagnose" else 0), done.stderr

    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        assert connection.execute("SELECT amount FROM balances").fetchall() == [(7,), (7,)]


def test_every_block_that_is_shown_is_run_here() -> None:
    shown = re.findall(r"^```(\w+)$", PAGE, flags=re.MULTILINE)

    assert (shown.count("python"), shown.count("toml"), shown.count("sh")) == (len(PYTHON), len(TOML), 2)
    assert set(shown) == {"python", "toml", "sh"}
