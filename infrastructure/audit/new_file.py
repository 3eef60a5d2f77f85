"""Files that are there whole or not at all: written beside their place, and put there once they are on the disk."""

import errno
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast


class FileThere(Exception):
    """There is a file of that name, which nobody said may be replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"There is a file {path} already")


class FileUnusable(Exception):
    """A file that cannot be read, or not be written."""

    def __init__(self, path: Path, cause: OSError) -> None:
        self.path = path
        super().__init__(f"{path}: {cause.strerror or cause}")


class FileUnreadable(FileUnusable):
    """One that was to be read."""


@contextmanager
def new_file(path: Path, *, replace: bool = False) -> Generator[BinaryIO]:
    """A file to write, which takes its place at the end; readable by its owner alone, for histories may hold secrets.

    Raises FileThere, also where somebody else was faster, unless it may replace what is there; and FileUnusable.
    """
    if path.is_dir():
        raise FileUnusable(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if not replace and os.path.lexists(path):
        raise FileThere(path)
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise FileUnusable(path, error) from error
    beside = Path(name)
    try:
        with os.fdopen(number, "wb") as written:
            yield cast("BinaryIO", written)
            written.flush()
            os.fsync(written.fileno())
        _put(beside, path, replace=replace)
        _settle(path.parent)
    except OSError as error:
        raise FileUnusable(path, error) from error
    finally:
        with suppress(OSError):  # put in its place; or its folder is gone, or cannot be written any more
            beside.unlink()


def _put(beside: Path, path: Path, *, replace: bool) -> None:
    if replace:
        beside.replace(path)
        return
    try:
        path.hardlink_to(beside)  # unlike a renaming, it replaces nothing
    except FileExistsError as error:
        raise FileThere(path) from error
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileThere(path) from None
        beside.rename(path)


def _settle(folder: Path) -> None:
    """Have its names on the disk, too: what has none is lost in a power failure, however well it was written."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, nor need it be
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
