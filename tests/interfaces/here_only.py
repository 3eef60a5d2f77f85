"""Tests of the command line that are not run a second time through a server, each with the reason why."""

from typing import Final

HERE_ONLY: Final[dict[str, str]] = {}
