"""The program `milepost`: its commands by name, and how it begins and ends."""

import os
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, Any, ClassVar, Final, NoReturn

import typer

from milepost.interfaces.cli import formats
from milepost.interfaces.cli.command import LazyGroup, group
from milepost.interfaces.cli.output import tell_problem
from milepost.interfaces.error_mapping import INTERRUPTED, INVALID, Problem

LEAVING_SECONDS: Final = 1.0


class Nouns(LazyGroup):
    """The first word of a command line."""

    modules: ClassVar[dict[str, str]] = {
        "jobs": "milepost.interfaces.cli.jobs",
        "types": "milepost.interfaces.cli.job_types",
        "observers": "milepost.interfaces.cli.observers",
        "failed-partitions": "milepost.interfaces.cli.failed_partitions",
        "worker": "milepost.interfaces.cli.worker",
        "serve": "milepost.interfaces.cli.serve",
        "tokens": "milepost.interfaces.cli.tokens",
        "workers": "milepost.interfaces.cli.workers",
        "event-stores": "milepost.interfaces.cli.event_stores",
        "namespaces": "milepost.interfaces.cli.namespaces",
        "webhooks": "milepost.interfaces.cli.webhooks",
        "audit": "milepost.interfaces.cli.audit",
        "context": "milepost.interfaces.cli.context",
        "diagnose": "milepost.interfaces.cli.diagnose",
        "schema": "milepost.interfaces.cli.schema",
        "demo": "milepost.interfaces.cli.demo",
    }


app = typer.Typer(
    cls=Nouns,
    name="milepost",
    help="Long-running jobs that can be stopped, resumed, watched and audited.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import milepost

        sys.stdout.write(f"milepost {milepost.__version__}\n")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")]
group(app, version=(Version, False))


def main() -> NoReturn:
    """Never returns: the exit code is what a script sees of us."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # where it cannot show a character, an escape is better than an error
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    if _steps_still_run():
        _leave_them(code)
    sys.exit(code)


def _steps_still_run() -> bool:
    """Whether a step that does not react holds a thread or a process, for which Python would wait at exit."""
    for thread in threading.enumerate():
        if thread.name.startswith("milepost-step"):
            thread.join(LEAVING_SECONDS)
            if thread.is_alive():
                return True
    return False


def _leave_them(code: int) -> NoReturn:
    """Their job has been handed back: whatever they still do does not count."""
    from multiprocessing import active_children

    for child in active_children():
        child.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    if broken := [word for word in arguments if not _is_text(word)]:
        message = f"This is not text in UTF-8, and cannot be kept: {broken[0]!a}"
        format_asked = formats.guess((), os.environ, terminal=sys.stdout.isatty())
        tell_problem(
            Problem(INVALID, message, "Give it in UTF-8, or without the bytes that are shown escaped"), format_asked
        )
        return INVALID
    try:
        code: Any = typer.main.get_command(app).main(list(arguments), prog_name="milepost", standalone_mode=False)
    except typer.TyperException as error:
        return _misused(arguments, error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _is_text(word: str) -> bool:
    """Bytes of a command line that Python could not decode come as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _misused(arguments: Sequence[str], error: typer.TyperException) -> int:
    """A command line that cannot be understood is invalid input like any other; no words at all ask for help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stdout.write(error.format_message() + "\n")
        return 0
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "milepost"
    format_asked = formats.guess(arguments, os.environ, terminal=sys.stdout.isatty())
    tell_problem(Problem(INVALID, error.format_message(), f"Try '{path} --help'"), format_asked)
    return INVALID
