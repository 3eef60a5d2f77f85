"""The observers that this process knows, by name: shipped, installed by entry point, or named in the settings."""

from collections.abc import Iterable

from milepost.domain.observers.errors import ObserverError
from milepost.infrastructure.observers.observer import Observer


class ObserverNotDeclared(ObserverError):
    """No observer of that name is declared here."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name, self.known = name, known
        super().__init__(f"Unknown observer '{name}'. Known here: {', '.join(known) or 'none'}.")


class Observers:
    """Observers by name. One name has one class: a second one is a problem, and the first stays."""

    def __init__(self, declared: Iterable[type[Observer]] = ()) -> None:
        self._declared: dict[str, type[Observer]] = {}
        self._shipped: set[str] = set()
        for each in declared:
            self.add(each)

    def add(self, declared: type[Observer], *, shipped: bool = False) -> type[Observer]:
        """Whoever has the name now. One that is `shipped` is run where somebody asked for it, not everywhere."""
        if shipped:
            self._shipped.add(declared.name)
        return self._declared.setdefault(declared.name, declared)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._declared))

    def wanted(self) -> tuple[str, ...]:
        """Those that somebody has named for this program."""
        return tuple(name for name in self.names() if name not in self._shipped)

    def named(self, name: str) -> type[Observer]:
        """Raises ObserverNotDeclared."""
        found = self._declared.get(name)
        if found is None:
            raise ObserverNotDeclared(name, (*self.wanted(), *sorted(self._shipped)))
        return found

    def knows(self, name: str) -> bool:
        return name in self._declared
