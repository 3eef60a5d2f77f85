"""Contexts: a server or an event store, and a namespace, under one name, kept in the user's settings folder."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path


class ContextInvalid(Exception):
    """A context that does not exist, or a file of contexts that cannot be read."""

    def __init__(self, message: str, suggestion: str) -> None:
        self.message, self.suggestion = message, suggestion
        super().__init__(message)


class ContextNotFound(ContextInvalid):
    """No context has that name."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is used where neither option nor environment says otherwise."""

    event_store: str | None = None
    namespace: str | None = None
    url: str | None = None
    server: str | None = None
    token_file: str | None = None  # where the server's token is kept; never the token itself


@dataclass(frozen=True, slots=True)
class Contexts:
    """All of a user's contexts, and which one is in use."""

    path: Path
    current: str | None = None
    named: Mapping[str, Context] = field(default_factory=dict[str, Context])

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> "Contexts":
        """What the file says; nothing where there is none. Raises ContextInvalid when it cannot be read."""
        path = config_folder(environ) / "contexts.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            named = {name: Context(**values) for name, values in document["contexts"].items()}
            return cls(path, document.get("current"), named)
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ContextInvalid(f"{path} cannot be read: {error}", "Correct the file, or remove it") from error

    def write(self) -> None:
        """Replace the file in one step, so that a reader never finds half of it."""
        named = {name: asdict(context) for name, context in sorted(self.named.items())}
        text = json.dumps({"current": self.current, "contexts": named}, indent=2, ensure_ascii=False)
        fresh = self.path.with_suffix(f".{os.getpid()}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            # A database's URL may hold a password.
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            fresh.replace(self.path)
        except OSError as error:
            raise ContextInvalid(f"{self.path} cannot be written: {error}", "Check its folder") from error

    def active_name(self, environ: Mapping[str, str]) -> str | None:
        """The name in use: that of MILEPOST_CONTEXT, else the one last chosen."""
        return environ.get("MILEPOST_CONTEXT") or self.current

    def active(self, environ: Mapping[str, str]) -> Context | None:
        """The context in use. Raises ContextNotFound when it is named and is not there."""
        name = self.active_name(environ)
        return self.get(name) if name else None

    def get(self, name: str) -> Context:
        if name not in self.named:
            there = ", ".join(sorted(self.named)) or "none"
            raise ContextNotFound(
                f"Context '{name}' not found; there is {there}",
                f"Create it with 'milepost context create {name}'",
            )
        return self.named[name]

    def with_context(self, name: str, context: Context) -> "Contexts":
        return replace(self, named={**self.named, name: context}, current=self.current or name)

    def without(self, name: str) -> "Contexts":
        self.get(name)
        named = {other: context for other, context in self.named.items() if other != name}
        return replace(self, named=named, current=None if self.current == name else self.current)

    def using(self, name: str) -> "Contexts":
        self.get(name)
        return replace(self, current=name)


def config_folder(environ: Mapping[str, str]) -> Path:
    """Where a user's settings live."""
    if chosen := environ.get("MILEPOST_CONFIG_DIR"):
        return Path(chosen)
    from platformdirs import user_config_path

    return user_config_path("milepost", appauthor=False)
