"""Which event store, namespace and job types are meant: options, environment, context, file, in that order."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from milepost.infrastructure.contexts import Context, Contexts
from milepost.infrastructure.server_url import ServerUrl

FILES: Final = ("milepost.toml", "pyproject.toml")
DEFAULT_EVENT_STORE: Final = "default"
DEFAULT_NAMESPACE: Final = "Default"
KNOWN_KEYS: Final = frozenset(
    {"event_stores", "job_types", "observers", "default_event_store", "default_namespace", "retention"}
)
_PARAMETER: Final = re.compile(r"([?&;][^=&;]*(?:pass|pwd|secret|token|key)[^=&;]*=)[^&;]*", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class SettingsInvalid(Exception):
    """A setting that cannot be followed; says where it stands and what to do."""

    def __init__(self, message: str, suggestion: str) -> None:
        self.message, self.suggestion = message, suggestion
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value, and where it came from."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class File:
    """What one `milepost.toml`, or the table `[tool.milepost]` of a `pyproject.toml`, says."""

    path: Path
    event_stores: Mapping[str, str]
    job_types: tuple[str, ...]
    observers: tuple[str, ...]
    default_event_store: str | None
    default_namespace: str | None
    retention: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was chosen, with its source."""

    event_store: Chosen
    namespace: Chosen
    url: Chosen
    output: Chosen | None
    context: str | None
    file: Path | None
    event_stores: Mapping[str, Chosen] = field(default_factory=dict[str, Chosen])
    job_types: tuple[str, ...] = ()
    """Modules that declare job types or observers."""
    import_from: tuple[Path, ...] = ()
    server: Chosen | None = None
    """Where it is asked, in place of opening the event store here."""
    token_file: Chosen | None = None
    retention: tuple[Mapping[str, object], ...] = ()
    """The rules by which workers prune, as the file says them: who carries them out makes sure of them."""


def resolve(
    *,
    event_store: str | None = None,
    namespace: str | None = None,
    output: str | None = None,
    server: str | None = None,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Settings:
    """The settings for these options. Raises SettingsInvalid, ContextInvalid, ServerUrlInvalid."""
    here = folder or Path.cwd()
    file = read_file(here)
    contexts = Contexts.read(environ)
    context = contexts.active(environ)
    store = _first(
        (event_store, "option --event-store"),
        (environ.get("MILEPOST_EVENT_STORE"), "environment MILEPOST_EVENT_STORE"),
        (context.event_store if context else None, f"context {contexts.active_name(environ)}"),
        (file.default_event_store if file else None, str(file.path) if file else ""),
        (DEFAULT_EVENT_STORE, "default"),
    )
    space = _first(
        (namespace, "option --namespace"),
        (environ.get("MILEPOST_NAMESPACE"), "environment MILEPOST_NAMESPACE"),
        (context.namespace if context else None, f"context {contexts.active_name(environ)}"),
        (file.default_namespace if file else None, str(file.path) if file else ""),
        (DEFAULT_NAMESPACE, "default"),
    )
    check_name("event store", store)
    check_name("namespace", space)
    stores = known_event_stores(environ, context, contexts.active_name(environ), file)
    at = _server(server, environ, context, contexts.active_name(environ))
    if at:
        stores.setdefault(store.value, Chosen("", str(at.value)))  # there it is known by name alone
    if store.value not in stores:
        raise SettingsInvalid(
            f"The event store '{store.value}' (from {store.source}) is not known; there is {_listed(stores)}",
            f'Name its database in milepost.toml: [event_stores] {store.value} = "sqlite:///PATH"',
        )
    types, watching = _words(environ.get("MILEPOST_JOB_TYPES", "")), _words(environ.get("MILEPOST_OBSERVERS", ""))
    modules = (*(types or (file.job_types if file else ())), *(watching or (file.observers if file else ())))
    folders = [here] if types or watching else []
    if file and (not (types or watching) or (file.job_types and not types) or (file.observers and not watching)):
        folders.append(file.path.parent)
    return Settings(
        event_store=store,
        namespace=space,
        url=stores[store.value],
        output=_optional((output, "option --output"), (environ.get("MILEPOST_OUTPUT"), "environment MILEPOST_OUTPUT")),
        context=contexts.active_name(environ) if context else None,
        file=file.path if file else None,
        event_stores=stores,
        job_types=tuple(dict.fromkeys(modules)),
        import_from=tuple(dict.fromkeys(folders)),
        server=at,
        token_file=_token_file(at, environ, context, contexts.active_name(environ)),
        retention=file.retention if file else (),
    )


def _server(
    option: str | None, environ: Mapping[str, str], context: Context | None, context_name: str | None
) -> Chosen | None:
    """The server that is meant. A database that the environment names is nearer than the server of a context."""
    of_context = context.server if context and not environ.get("MILEPOST_URL") else None
    given = None if option is None else Chosen(option, "option --server")  # an empty one is refused, not passed over
    chosen = given or _optional(
        (environ.get("MILEPOST_SERVER"), "environment MILEPOST_SERVER"), (of_context, f"context {context_name}")
    )
    return Chosen(str(ServerUrl.parse(chosen.value)), chosen.source) if chosen else None


def _token_file(
    server: Chosen | None, environ: Mapping[str, str], context: Context | None, context_name: str | None
) -> Chosen | None:
    """The file with the token for this server: a context's token is for the context's own server and for no other."""
    if server is None:
        return None
    its_own = (
        context is not None and context.server is not None and server.value == str(ServerUrl.parse(context.server))
    )
    return _optional(
        (environ.get("MILEPOST_TOKEN_FILE"), "environment MILEPOST_TOKEN_FILE"),
        (context.token_file if context and its_own else None, f"context {context_name}"),
    )


def known_event_stores(
    environ: Mapping[str, str], context: Context | None, context_name: str | None, file: File | None
) -> dict[str, Chosen]:
    """All event stores by name; what is written later in this function wins."""
    stores = {DEFAULT_EVENT_STORE: Chosen(f"sqlite:///{data_folder(environ) / 'default.sqlite'}", "default")}
    if file:
        stores |= {name: Chosen(url, str(file.path)) for name, url in file.event_stores.items()}
    if context and context.url:
        stores[context.event_store or DEFAULT_EVENT_STORE] = Chosen(context.url, f"context {context_name}")
    if url := environ.get("MILEPOST_URL"):
        stores[DEFAULT_EVENT_STORE] = Chosen(url, "environment MILEPOST_URL")
    return stores


def read_file(folder: Path) -> File | None:
    """The nearest settings file at or above `folder`. Raises SettingsInvalid when it cannot be followed."""
    for parent in (folder, *folder.parents):
        for name in FILES:
            path = parent / name
            table = _table_of(path) if path.is_file() else None
            if table is not None:
                return _file(path, table)
    return None


def check_name(what: str, chosen: Chosen) -> None:
    """Raises SettingsInvalid unless it is a name of letters, digits and `. _ -`."""
    if not _NAME.fullmatch(chosen.value):
        raise SettingsInvalid(
            f"'{chosen.value}' (from {chosen.source}) cannot be the name of {'an' if what[0] == 'e' else 'a'} {what}",
            "Use 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first",
        )


def anchored(url: str, folder: Path) -> str:
    """The URL with a relative SQLite path made absolute, seen from `folder`."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url == prefix:
        return url
    path, mark, query = url.removeprefix(prefix).partition("?")
    return f"{prefix}{folder / Path(path).expanduser()}{mark}{query}"


def data_folder(environ: Mapping[str, str]) -> Path:
    """Where event stores live that nobody named a place for."""
    if chosen := environ.get("MILEPOST_DATA_DIR"):
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("milepost", appauthor=False)


def masked(url: str) -> str:
    """The URL without its password and without secrets among its parameters.

    A password may hold any character, so all up to the last @ is taken for one; where it is no proper URL, even all
    before that. The path of a SQLite file may hold one, too.
    """
    shown = _PARAMETER.sub(r"\1***", url)
    if "@" not in shown:
        return shown
    if "://" not in shown:
        return "***@" + shown.rpartition("@")[2]
    user = "[^:@/?]*" if shown.startswith("sqlite") else "[^:]*?"
    return re.sub(f"://({user}):.*@", r"://\1:***@", shown)


def _table_of(path: Path) -> dict[str, object] | None:
    import tomllib  # here, because most command lines find no file to read

    try:
        document: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if path.name == "pyproject.toml":  # another program's file: perhaps not even meant for us
            return None
        raise SettingsInvalid(f"{path} cannot be read: {error}", "Correct the file, or remove it") from error
    if path.name == "milepost.toml":
        return document
    tool = document.get("tool")
    table = tool.get("milepost") if isinstance(tool, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return {str(key): value for key, value in table.items()} if isinstance(table, dict) else None  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType, reportUnknownVariableType]


def _file(path: Path, table: Mapping[str, object]) -> File:
    for key in table:
        if key not in KNOWN_KEYS:
            raise _wrong(path, key, f"is not a setting; there are {', '.join(sorted(KNOWN_KEYS))}")
    stores = {name: anchored(url, path.parent) for name, url in _texts(path, table, "event_stores").items()}
    for name in stores:
        check_name("event store", Chosen(name, f"{path}, event_stores"))
    return File(
        path=path,
        event_stores=stores,
        job_types=_list(path, table, "job_types"),
        observers=_list(path, table, "observers"),
        default_event_store=_text(path, table, "default_event_store"),
        default_namespace=_text(path, table, "default_namespace"),
        retention=_tables(path, table, "retention"),
    )


def _text(path: Path, table: Mapping[str, object], key: str) -> str | None:
    value = table.get(key)
    if value is None or isinstance(value, str):
        return value
    raise _wrong(path, key, 'must be a text: "…"')


def _list(path: Path, table: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if isinstance(value, list):
        texts = [item for item in value if isinstance(item, str)]  # pyright: ignore[reportUnknownVariableType]
        if len(texts) == len(value):  # pyright: ignore[reportUnknownArgumentType]
            return tuple(texts)
    raise _wrong(path, key, 'must be a list of modules: ["myapp.jobs"]')


def _texts(path: Path, table: Mapping[str, object], key: str) -> dict[str, str]:
    value = table.get(key, {})
    if isinstance(value, dict):
        texts = {str(name): item for name, item in value.items() if isinstance(item, str)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if len(texts) == len(value):  # pyright: ignore[reportUnknownArgumentType]
            return texts
    raise _wrong(path, key, 'must be a table: name = "sqlite:///PATH"')


def _tables(path: Path, table: Mapping[str, object], key: str) -> tuple[Mapping[str, object], ...]:
    value = table.get(key, [])
    if isinstance(value, list):
        found = [item for item in value if isinstance(item, dict)]  # pyright: ignore[reportUnknownVariableType]
        if len(found) == len(value):  # pyright: ignore[reportUnknownArgumentType]
            return tuple({str(name): item for name, item in each.items()} for each in found)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType, reportUnknownVariableType]
    raise _wrong(path, key, f"must be tables: [[{key}]]")


def _wrong(path: Path, key: str, problem: str) -> SettingsInvalid:
    return SettingsInvalid(f"{path}: {key} {problem}", f"Correct {key} in {path}")


def _first(*candidates: tuple[str | None, str]) -> Chosen:
    found = _optional(*candidates)
    assert found is not None, "the last candidate is a default"
    return found


def _optional(*candidates: tuple[str | None, str]) -> Chosen | None:
    return next((Chosen(value, source) for value, source in candidates if value), None)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _listed(names: Mapping[str, Chosen]) -> str:
    return ", ".join(sorted(names))
