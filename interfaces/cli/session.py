"""One run of one command: what was chosen, the event store it opens or asks for, and where its output goes."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from milepost.infrastructure.settings import Settings, masked, resolve
from milepost.interfaces.cli import formats
from milepost.interfaces.cli.output import Output, tell_problem
from milepost.interfaces.cli.text import fitted
from milepost.interfaces.error_mapping import INVALID, OK, Problem, Told, problem_of
from milepost.interfaces.quantities import clean

if TYPE_CHECKING:
    from milepost.infrastructure.credentials import Credential
    from milepost.interfaces.bootstrap import Application
    from milepost.interfaces.local_service import LocalService
    from milepost.interfaces.remote_service import RemoteService
    from milepost.interfaces.service import Service

T = TypeVar("T")

_LEAVE_OUT: Final = {
    "option --server": "Leave --server out, where its database can be reached",
    "environment MILEPOST_SERVER": "Unset MILEPOST_SERVER, where its database can be reached",
}


@dataclass(frozen=True, slots=True)
class Globals:
    """The options that every command takes, before or behind the sub-command."""

    event_store: str | None = None
    namespace: str | None = None
    server: str | None = None
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
            server=self.server if later.server is None else later.server,
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
        """Raises SettingsInvalid, ContextInvalid, ServerUrlInvalid."""
        given = self.given
        return resolve(
            event_store=given.event_store, namespace=given.namespace, output=given.output, server=given.server
        )

    @cached_property
    def app(self) -> "Application":
        """The event store, opened here. Raises Told where a server is to be asked instead."""
        from milepost.interfaces.bootstrap import Application

        self.only_here()
        return Application(self.settings, self.note)

    def only_here(self) -> None:
        """For commands that work on the event store itself. Raises Told where a server is to be asked."""
        if (server := self.settings.server) is not None:
            raise Told(
                INVALID,
                f"This works on the event store itself, and not through a server: {server.value} ({server.source})",
                _LEAVE_OUT.get(server.source, "Use a context without a server, or name the database in MILEPOST_URL"),
            )

    @property
    def service(self) -> "Service":
        """The namespace's jobs, here or at a server."""
        return self.remote if self.settings.server is not None else self.local

    @cached_property
    def local(self) -> "LocalService":
        """Raises Told where a server is to be asked."""
        from milepost.interfaces.local_service import LocalService

        return LocalService(self.app, self.namespace)

    @cached_property
    def remote(self) -> "RemoteService":
        from milepost.interfaces.client.blocking import Client
        from milepost.interfaces.remote_service import RemoteService

        server, known = self.settings.server, self.credential
        assert server is not None, "there is one to be asked"
        client = Client(
            server.value,
            token=known.token if known else None,
            event_store=self.settings.event_store.value,
            namespace=self.namespace,
            plain_http=os.environ.get("MILEPOST_PLAIN_HTTP", "") == "1",
        )
        return RemoteService(client, server.value, self.settings.event_store.value)

    @cached_property
    def credential(self) -> "Credential | None":
        """What is shown to the server. Raises SettingsInvalid."""
        from milepost.infrastructure.credentials import credential

        return credential(self.settings.token_file)

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
        where = ("database", chosen.url) if chosen.server is None else ("server", chosen.server)
        for name, what in (("event store", chosen.event_store), ("namespace", chosen.namespace), where):
            self._debug(f"{name}: {masked(what.value)} ({what.source})")
        if chosen.server is not None:
            self._debug(f"token: {self.credential.source if self.credential else 'none'}")
        self._debug(f"settings file: {chosen.file or 'none'}; context: {chosen.context or 'none'}")
        self._debug(f"output: {self.format}")

    def close(self) -> None:
        if "app" in self.__dict__:
            self.app.close()
        if "remote" in self.__dict__:
            self.remote.close()
        if self.given.debug:
            self._debug(f"exit code {self.code} after {1000 * (time.monotonic() - self._began):.0f} ms")

    def _debug(self, line: str) -> None:
        print(f"debug: {clean(line)}", file=sys.stderr)  # noqa: T201
