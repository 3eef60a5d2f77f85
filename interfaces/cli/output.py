"""Documents as tables, tab-separated lines, JSON or CSV, and errors always on standard error."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.text import escaped, fitted
from milepost.interfaces.documents import Document, Failure, to_json
from milepost.interfaces.error_mapping import Problem
from milepost.interfaces.quantities import clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

D = TypeVar("D", bound=Document)
GAP: Final = 2
NARROWEST: Final = 6
_UPPER_CONTROL: Final = re.compile(r"[\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Column(Generic[D]):
    """One column: `value` for programs, `shown` for people where that differs."""

    title: str
    value: Callable[[D], Any]
    shown: Callable[[D], str] | None = None
    style: Callable[[D], str] | None = None
    right: bool = False
    gives_way: bool = False  # shortened first where the terminal is narrow

    def text(self, document: D) -> str:
        value = self.value(document)
        return "" if value is None else clean(str(value))

    def people_text(self, document: D) -> str:
        return clean(self.shown(document)) if self.shown else self.text(document)


class Output:
    """Standard output in the chosen format."""

    def __init__(self, format: Format, *, quiet: bool) -> None:  # noqa: A002
        self.format, self.quiet = format, quiet

    def many(self, documents: Iterable[D], columns: Sequence[Column[D]], name: Callable[[D], str]) -> None:
        """A list: with `-q` the names only, one a line, or as an array where the format is JSON."""
        if self.quiet:
            self._names([name(document) for document in documents])
        elif self.format is Format.TABLE:
            self.render(table(documents, columns))
        else:
            self._data(documents, columns)

    def one(
        self, document: D, columns: Sequence[Column[D]], name: Callable[[D], str], view: Callable[[], "RenderableType"]
    ) -> None:
        """A single document; for people as `view` draws it."""
        if self.quiet:
            self._names([name(document)])
        elif self.format is Format.TABLE:
            self.render(view())
        elif self.format is Format.PLAIN:
            for column in columns:
                self.line(f"{column.title}\t{column.text(document)}")
        elif self.format is Format.CSV:
            self._data([document], columns)
        else:
            self.json(to_json(document))

    def said(
        self, documents: Sequence[D], columns: Sequence[Column[D]], name: Callable[[D], str], say: Callable[[D], str]
    ) -> None:
        """What was done: a sentence for people, a record for programs."""
        if self.format is Format.TABLE and not self.quiet:
            for document in documents:
                self.line(fitted(clean(say(document)), sys.stdout))
        else:
            self.many(documents, columns, name)

    def json(self, value: Any) -> None:
        self.line(json_text(value, indent=2) if self.format is Format.JSON else json_text(value))

    def line(self, text: str) -> None:
        sys.stdout.write(text + "\n")

    def render(self, what: "RenderableType") -> None:
        console().print(what)

    def _names(self, names: Sequence[str]) -> None:
        if self.format.is_json:
            self.line(json_text(list(names)))
            return
        for name in names:
            self.line(clean(name))

    def _data(self, documents: Iterable[D], columns: Sequence[Column[D]]) -> None:
        if self.format is Format.JSONL:
            for document in documents:
                self.json(to_json(document))
        elif self.format.is_json:
            self.json([to_json(document) for document in documents])
        elif self.format is Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(column.title for column in columns)
            shown = _seen if sys.stdout.isatty() else _as_it_is
            writer.writerows([shown(column.value(document)) for column in columns] for document in documents)
        else:
            self.line("\t".join(column.title for column in columns))
            for document in documents:
                self.line("\t".join(column.text(document) for column in columns))


def table(documents: Iterable[D], columns: Sequence[Column[D]]) -> "RenderableType":
    """Aligned columns without lines; where there is no room only those that give way are shortened."""
    from rich.table import Table
    from rich.text import Text

    rows = [
        [Text(column.people_text(each), column.style(each) if column.style else "") for column in columns]
        for each in documents
    ]
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column, width in zip(columns, _widths(columns, rows), strict=True):
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=width,
        )
    for row in rows:
        drawn.add_row(*row)
    return drawn


def _widths(columns: "Sequence[Column[D]]", rows: "Sequence[Sequence[Text]]") -> list[int]:
    """As wide as the widest cell; then the widest that gives way gives way, until all fit."""
    widths = [
        max(len(column.title), *(row[at].cell_len for row in rows)) if rows else len(column.title)
        for at, column in enumerate(columns)
    ]
    room = console().width - GAP * (len(columns) - 1)
    yielding = [at for at, column in enumerate(columns) if column.gives_way]
    while sum(widths) > room and yielding:
        widest = max(yielding, key=lambda at: widths[at])
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return widths


def console(*, stderr: bool = False) -> "Console":
    """Standard output, or error, as rich draws on it; a pipe is as wide as it likes."""
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=None if terminal else 200)


def _as_it_is(value: Any) -> Any:
    return value


def _seen(value: Any) -> Any:
    """Of a cell, what a terminal may get."""
    return escaped(value) if isinstance(value, str) else value


def json_text(value: Any, indent: int | None = None) -> str:
    """On one line unless indented. JSON leaves the upper control characters as they are: a terminal would obey them."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=None if indent else (",", ":"))
    return _UPPER_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def tell_problem(problem: Problem, format: Format) -> None:  # noqa: A002
    """On standard error: as JSON where the output is JSON, else a line, and another with what to do."""
    if format.is_json:
        told = json_text(to_json(Failure(problem.word, problem.message, problem.suggestion)))
    else:
        suggestion = f"\n→ {clean(problem.suggestion)}" if problem.suggestion else ""
        told = fitted(f"Error: {clean(problem.message)}{suggestion}", sys.stderr)
    sys.stdout.flush()
    sys.stderr.write(told + "\n")
