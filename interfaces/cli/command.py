"""How a function becomes a command: it takes the global options, its errors become messages and exit codes."""

import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, ClassVar, Concatenate, Final, ParamSpec

import typer
from typer.core import TyperCommand, TyperGroup

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.session import Globals, Session
from milepost.interfaces.error_mapping import INTERRUPTED, OK, SERVER_ERROR, Problem, problem_of
from milepost.interfaces.quantities import clean

P = ParamSpec("P")
_PANEL: Final = "Global options"

EventStore = Annotated[
    str | None,
    typer.Option(
        "--event-store", "-e", help="The event store to use.", metavar="NAME", rich_help_panel=_PANEL,
        autocompletion=completion.event_stores,
    ),
]  # fmt: skip
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="The namespace to use.", metavar="NAME", rich_help_panel=_PANEL,
        autocompletion=completion.namespaces,
    ),
]  # fmt: skip
Server = Annotated[
    str | None,
    typer.Option(
        "--server", help="Ask this server, instead of opening the event store here.", metavar="URL",
        rich_help_panel=_PANEL,
    ),
]  # fmt: skip
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", help="table, plain, json, json-compact, jsonl, csv; auto chooses.", metavar="FORMAT",
        rich_help_panel=_PANEL, autocompletion=completion.formats,
    ),
]  # fmt: skip
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print ids only, one a line.", rich_help_panel=_PANEL)
]  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", rich_help_panel=_PANEL)]
Debug = Annotated[
    bool, typer.Option("--debug", help="Say on standard error what was chosen, and why.", rich_help_panel=_PANEL)
]  # fmt: skip

_GLOBALS: Final = {
    "event_store": (EventStore, None),
    "namespace": (Namespace, None),
    "server": (Server, None),
    "output": (Output, None),
    "quiet": (Quiet, False),
    "yes": (Yes, False),
    "debug": (Debug, False),
}


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[Concatenate[Session, P], None]]:
    """Register a function that takes a Session as a command of `app`, with the global options added."""

    def register(function: Callable[Concatenate[Session, P], None]) -> Callable[Concatenate[Session, P], None]:
        def run(ctx: typer.Context, **values: Any) -> None:
            given = _merged(ctx, values)
            session = Session(given)
            code = _guarded(session, lambda: function(session, **values))  # type: ignore[call-arg]  # typer gives what the signature says
            if code != OK:
                raise typer.Exit(code)

        own = list(signature(function, eval_str=True).parameters.values())[1:]
        run.__signature__ = Signature([_context(), *own, *_global_parameters()])  # type: ignore[attr-defined]
        run.__doc__, run.__name__ = function.__doc__, function.__name__
        app.command(name, cls=QuickCommand)(run)
        return function

    return register


def group(app: typer.Typer, **more: tuple[Any, Any]) -> None:
    """Let the group itself take the global options, before its sub-command, and `more` that have a callback."""

    def remember(ctx: typer.Context, **values: Any) -> None:
        ctx.obj = _merged(ctx, values)

    extra = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in more.items()
    ]
    remember.__signature__ = Signature([_context(), *_global_parameters(), *extra])  # type: ignore[attr-defined]
    app.callback()(remember)


class Quick:
    """A command that does not wait for pydantic to be imported while its options are texts, or not given."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _hurried(super().get_params(ctx))  # type: ignore[misc]  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType, reportAttributeAccessIssue]


class QuickCommand(Quick, TyperCommand):
    """A command of ours."""


class QuickGroup(Quick, TyperGroup):
    """A group of ours."""


def _hurried(parameters: list[Any]) -> list[Any]:
    """Typer converts each value with an adapter made by pydantic, also a text to a text and nothing to nothing."""
    for parameter in parameters:
        if not parameter.required and not isinstance(parameter.process_value, partial):
            parameter.process_value = partial(_processed, parameter, parameter.process_value)
    return parameters


def _processed(parameter: Any, convert: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if value is not None and not (annotation is str and isinstance(value, str)):
        return convert(ctx, value)
    return parameter.callback(ctx, parameter, value) if parameter.callback else value


class LazyGroup(QuickGroup):
    """A group whose commands are imported and built when they are asked for: `modules` says where each is."""

    modules: ClassVar[dict[str, str]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        if cmd_name not in self.modules:
            return None
        found: typer.Typer = import_module(self.modules[cmd_name]).app
        if found.registered_callback is None:  # no group: one of several commands that share a module
            found = _only(found, cmd_name)
        built = typer.main.get_command(found)
        assert isinstance(built, TyperCommand | TyperGroup)
        built.name = cmd_name
        return built


def _only(app: typer.Typer, name: str) -> typer.Typer:
    """The app with this command alone: building the others would take longer than running it."""
    alone = new_app()
    alone.registered_commands = [each for each in app.registered_commands if each.name in (name, None)]
    return alone


def new_app(cls: type[LazyGroup] | None = None, help: str | None = None) -> typer.Typer:  # noqa: A002
    """An app below the program's own."""
    return typer.Typer(cls=cls or QuickGroup, help=help, add_completion=False, no_args_is_help=help is not None)


def _guarded(session: Session, act: Callable[[], None]) -> int:
    """Run it; an error of ours becomes its message and its exit code, any other one is a defect and shows whole."""
    try:
        session.choose_format()
        if session.given.debug:
            session.explain()
        act()
        sys.stdout.flush()
    except typer.Exit as chosen:
        session.code = session.code or chosen.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        session.fail(Problem(INTERRUPTED, "Interrupted", ""))
    except Exception as error:  # noqa: BLE001 - the outermost frame: here errors become exit codes
        session.fail(problem_of(error) or _defect(error))
    finally:
        session.close()
    return session.code


def _defect(error: Exception) -> Problem:
    """An error that nobody foresaw is told whole, and is no "not found", which Python's own exit code would say."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        print(clean(line), file=sys.stderr)  # noqa: T201
    return Problem(SERVER_ERROR, f"{type(error).__name__}: {error}", "This is a defect of Milepost: please report it")


def _merged(ctx: typer.Context, values: dict[str, Any]) -> Globals:
    """Takes the global options out of `values`, and adds what stood further to the left."""
    given = Globals(**{name: values.pop(name) for name in _GLOBALS})
    before = ctx.obj
    return before.overridden_by(given) if isinstance(before, Globals) else given


def _context() -> Parameter:
    return Parameter("ctx", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)


def _global_parameters() -> list[Parameter]:
    return [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _GLOBALS.items()
    ]
