"""One run of one command: what was chosen, the event store it opens, and where its output goes."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from milepost.infrastructure.settings import Settings, masked, resolve
from milepost.interfaces.cli import formats
from milepost.interfaces.cli.output import Output, tell_problem
from milepost.interfaces.cli.text import fitted
from milepost.interfaces.error_mapping import INVALID, OK, Problem, Told, problem_of
from milepost.interfaces.quantities import clean

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Application
    from milepost.interfaces.local_service import LocalService

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Globals:
    """The options that every command takes, before or behind the sub-command."""

    event_store: str | None = None
    namespace: str | None = None
    output: str | None = None
    quiet: bool = False
    yes: bool = False
    debug: bool = False

    def overridden_by(self, later: "Globals") -> "Globals":
        """What stands nearer to the end of the command line wins."""
        return replace(
            self,
            event_store=later.event_store or self.event_store,
            namespace=later.namespace or self.namespace,
            output=later.output or self.output,
            quiet=later.quiet or self.quiet,
            yes=later.yes or self.yes,
            debug=later.debug or self.debug,
        )


class Session:
    """Made anew for each command."""

    def __init__(self, given: Globals) -> None:
        self._began = time.monotonic()
        self.given = given
        self.format = formats.guess((), os.environ, terminal=sys.stdout.isatty())
        self.quiet = given.quiet
        self.code = OK

    def choose_format(self) -> None:
        """Raises Told for an unknown format."""
        terminal = sys.stdout.isatty()
        self.format = formats.choose(self.given.output, os.environ, terminal=terminal, quiet=self.quiet)

    @cached_property
    def settings(self) -> Settings:
        """Raises SettingsInvalid, ContextInvalid."""
        given = self.given
        return resolve(event_store=given.event_store, namespace=given.namespace, output=given.output)

    @cached_property
    def app(self) -> "Application":
        from milepost.interfaces.bootstrap import Application

        return Application(self.settings, self.note)

    @cached_property
    def service(self) -> "LocalService":
        """The namespace's jobs."""
        from milepost.interfaces.local_service import LocalService

        return LocalService(self.app, self.namespace)

    @property
    def namespace(self) -> str:
        return self.settings.namespace.value

    @cached_property
    def out(self) -> Output:
        return Output(self.format, quiet=self.quiet)

    def note(self, line: str) -> None:
        """A remark for people: on standard error, so that no program mistakes it for data."""
        if not self.quiet:
            print(fitted(clean(line), sys.stderr), file=sys.stderr, flush=True)  # noqa: T201

    def fail(self, problem: Problem) -> None:
        """Tell it; the exit code of the command is that of its first failure."""
        self.code = self.code or problem.code
        tell_problem(problem, self.format)

    def attempt(self, act: Callable[[], T]) -> T | None:
        """What it gives, or None when it failed, which was told then: one of several jobs does not hold up the rest."""
        try:
            return act()
        except Exception as error:
            if (problem := problem_of(error)) is None:
                raise
            self.fail(problem)
            return None

    @property
    def interactive(self) -> bool:
        """Whether somebody can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, what: str) -> None:
        """Ask, default No. Raises Told where nobody can answer and `--yes` was not given, or the answer is no."""
        if self.given.yes:
            return
        if not self.interactive:
            raise Told(
                INVALID,
                "Confirmation is required, and nobody can answer here",
                "Run the command again with --yes to confirm it",
            )
        print(f"{what} [y/N]: ", end="", file=sys.stderr, flush=True)  # noqa: T201
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Told(INVALID, "Not confirmed: nothing was done", "Answer y, or give --yes")

    def explain(self) -> None:
        """What was chosen and why, for `--debug`."""
        chosen = self.settings
        for name, what in (
            ("event store", chosen.event_store),
            ("namespace", chosen.namespace),
            ("database", chosen.url),
        ):
            self._debug(f"{name}: {masked(what.value)} ({what.source})")
        self._debug(f"settings file: {chosen.file or 'none'}; context: {chosen.context or 'none'}")
        self._debug(f"output: {self.format}")

    def close(self) -> None:
        if "app" in self.__dict__:
            self.app.close()
        if self.given.debug:
            self._debug(f"exit code {self.code} after {1000 * (time.monotonic() - self._began):.0f} ms")

    def _debug(self, line: str) -> None:
        print(f"debug: {clean(line)}", file=sys.stderr)  # noqa: T201
