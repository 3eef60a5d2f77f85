"""Jobs that can be stopped, resumed, watched and audited: the names a program imports."""

from typing import TYPE_CHECKING

__all__ = ["__version__"]

__version__: str

# Hidden from type checkers, so that a misspelt name is still an error to them.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> str:
        """The version, looked up only when asked for: importing milepost stays instant."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        return version(__name__)
