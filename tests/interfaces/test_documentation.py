"""The page about the command line names every command and option there is, and none that there is not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from milepost.interfaces import error_mapping
from milepost.interfaces.cli.app import app
from milepost.interfaces.cli.command import LazyGroup

PAGE: Final = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
HEADINGS: Final = re.findall(r"^### `(milepost .*)`$", PAGE, re.MULTILINE)
OPTIONS: Final = set(re.findall(r"`(--[a-z-]+)", PAGE)) | set(re.findall(r"(--[a-z-]+)`", PAGE))


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All commands that do something, with the words that call them."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    context = typer.Context(command)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), f"{path} {name}")


ALL: Final = dict(commands(typer.main.get_command(app), "milepost"))


def test_every_command_has_its_heading_and_every_heading_its_command() -> None:
    assert set(HEADINGS) == set(ALL)


@pytest.mark.parametrize("path", ALL)
def test_every_option_is_explained(path: str) -> None:
    options = {name for param in ALL[path].params for name in param.opts if name.startswith("--")}

    assert options <= OPTIONS


def test_no_option_is_explained_that_does_not_exist() -> None:
    root = {"--version", "--help", "--install-completion", "--show-completion"}
    there = {name for command in ALL.values() for each in command.params for name in (*each.opts, *each.secondary_opts)}

    assert there | root >= OPTIONS


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_help(path: str) -> None:
    assert ALL[path].help


def test_every_exit_code_is_explained() -> None:
    for code, word in error_mapping.WORDS.items():
        assert re.search(rf"^\| {code} \|.*`{word}`", PAGE, re.MULTILINE)


def test_groups_are_lazy() -> None:
    assert isinstance(typer.main.get_command(app), LazyGroup)
