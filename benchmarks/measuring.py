"""Runs the programs that are measured, each in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def measured(*command: str) -> dict[str, object]:
    """The JSON line that a program printed last."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, cwd=HERE.parent)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    figures: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    print(json.dumps(figures), flush=True)
    return figures
