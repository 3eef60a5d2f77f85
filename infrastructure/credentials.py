"""The token that is shown to a server: from the environment, or from a file that its owner alone may read."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from milepost.infrastructure.settings import Chosen, SettingsInvalid

ENVIRONMENT: Final = "MILEPOST_TOKEN"
MOST_BYTES: Final = 10_000  # of a file: a token is short


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, and where it came from. The token itself is never shown."""

    token: str = field(repr=False)
    source: str


def credential(token_file: Chosen | None, environ: Mapping[str, str] = os.environ) -> Credential | None:
    """The token of MILEPOST_TOKEN, else that of the file; None where there is neither. Raises SettingsInvalid."""
    if token := environ.get(ENVIRONMENT, "").strip():
        return Credential(_checked(token, ENVIRONMENT), f"environment {ENVIRONMENT}")
    if token_file is None:
        return None
    path = Path(token_file.value).expanduser()
    return Credential(_checked(_read(path, token_file.source), str(path)), f"{path}, from {token_file.source}")


def _read(path: Path, source: str) -> str:
    try:
        # Not waiting: a pipe would block for ever until somebody writes into it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with os.fdopen(descriptor, encoding="utf-8") as file:
            # Of the file that is open, not of its name, which may lead to another one a moment later.
            _check_access(path, os.fstat(file.fileno()))
            return file.read(MOST_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(
            f"The token file {path} (from {source}) cannot be read: {error}", "Write the token into it, and 'chmod 600'"
        ) from None


def _check_access(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SettingsInvalid(f"The token file {path} is not a file", "Name a file that holds the token alone")
    if os.name != "posix":
        return  # elsewhere the mode does not say who may read
    if status.st_uid not in (os.geteuid(), 0):
        raise SettingsInvalid(
            f"The token file {path} belongs to somebody else, so its token is not used", "Name a file of your own"
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsInvalid(
            f"The token file {path} may be read by others than its owner, so its token is not used",
            f"chmod 600 {path}; and revoke the token if somebody may have seen it",
        )


def _checked(token: str, where: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        what = "is malformed" if token else "is missing"
        raise SettingsInvalid(f"The token in {where} {what}", "It is one word, as 'milepost tokens create' showed it")
    return token
