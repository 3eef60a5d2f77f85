"""A fuzzer that reads the published description, and asks whatever it allows and forbids, finds nothing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from milepost.infrastructure.event_store.tokens import Role
from tests.interfaces.furniture import Furniture
from tests.interfaces.http.served import MINE, running
from tests.interfaces.http.watched import OBSERVERS, furnish
from tests.length import FULL, kinds

FUZZER: Final = Path(sys.executable).with_name("schemathesis")
TOLD: Final = Path(__file__).with_name("schemathesis.toml")
EXAMPLES: Final = 500 if FULL else 3  # of each route, beside those that cover each constraint
PATIENCE_SECONDS: Final = 3_600 if FULL else 300

CALLERS: Final[dict[str, tuple[Role, tuple[str, ...]] | None]] = {
    "operator": (Role.OPERATOR, ()),
    "viewer": (Role.VIEWER, ()),
    "admin": (Role.ADMIN, ()),
    "operator of one namespace": (Role.OPERATOR, (MINE,)),
    "nobody": None,
}
# In short, all phases for the one who gets everywhere; the others differ from it by what they are refused.
ALL_PHASES: Final = "examples,coverage,fuzzing,stateful"
PHASES: Final = {"operator": ALL_PHASES}


@pytest.mark.parametrize("caller", kinds(*CALLERS, short=["operator", "operator of one namespace", "nobody"]))
def test_the_fuzzer_finds_nothing(caller: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    furniture = Furniture(url)
    furniture.furnish()
    furniture.running()
    furniture.database.close()
    furnish(url, MINE)
    token = CALLERS[caller]
    with running(url, MILEPOST_OBSERVERS=OBSERVERS) as server:
        sent = [] if token is None else ["-H", f"Authorization: Bearer {server.token('fuzzer', token[0], *token[1])}"]
        phases = ALL_PHASES if FULL else PHASES.get(caller, "fuzzing")
        options = [
            "--phases",
            phases,
            "--checks",
            "all",
            "--max-examples",
            str(EXAMPLES),
            "--no-color",
            "--continue-on-failure",
        ]
        done = subprocess.run(
            [FUZZER, "--config-file", TOLD, "run", f"{server.url}/openapi.json", *options, *sent],
            cwd=tmp_path,  # it leaves what it has learned in the folder
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    assert done.returncode == 0, done.stdout + done.stderr
