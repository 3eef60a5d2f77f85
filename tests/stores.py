"""Event stores of each kind that a test may run on."""

from pathlib import Path

from tests.postgres import fresh_url


def url_of(kind: str, folder: Path) -> str:
    """Of a fresh event store in `memory`, in a `file` of that folder, or on a `server`."""
    if kind == "server":
        return fresh_url()
    return "sqlite://" if kind == "memory" else f"sqlite:///{folder / 'jobs.sqlite'}"
