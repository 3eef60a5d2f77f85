"""`flight-search`: a full-text index of the airports and carriers that the flights name, and how it is searched.

SQLite's FTS5 or PostgreSQL's GIN, over words that are split here, so that both find the same.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from milepost.domain.observers.errors import ObserverError
from milepost.infrastructure.flights.events import FlightFacts, FlightScheduled
from milepost.infrastructure.flights.names import Kind, installed_names
from milepost.infrastructure.flights.observers.of_flights import FlightsObserver, insert_into, write_rows
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.observer import Effects, Observed, Place, observer
from milepost.infrastructure.observers.sources import EventSource, handled_topics

WORD: Final = re.compile(r"[a-z0-9]+")
FOUND_MOST: Final = 20


def _create(connection: sa.Connection, table: sa.Table) -> None:
    if connection.dialect.name == "sqlite":
        name = connection.dialect.identifier_preparer.quote(table.name)
        columns = "kind UNINDEXED, code UNINDEXED, name UNINDEXED, words"
        connection.exec_driver_sql(f"CREATE VIRTUAL TABLE {name} USING fts5({columns})")
    else:
        table.create(connection)


# Words as they are: no dictionary of the server's has a say. Only what is stored can be indexed.
_DOCUMENT: Final = sa.Computed("array_to_tsvector(string_to_array(words, ' '))", persisted=True)

tables: Final = sa.MetaData()
search_table: Final = sa.Table(
    "flights_search",
    tables,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("document", postgresql.TSVECTOR, _DOCUMENT),
    sa.Index("flights_search_document", "document", postgresql_using="gin"),
    info={"create": _create},
)


class Found(NamedTuple):
    """An airport or a carrier. Without a name, where the tables of names have none."""

    kind: Kind
    code: str
    name: str | None


class IndexDiffers(ObserverError):
    """The index that was rebuilt is not what the events say."""

    def __init__(self, observer: str, difference: str) -> None:
        self.difference = difference
        super().__init__(f"The index of observer '{observer}' is not what the events say: {difference}.")


@observer("flight-search")
class FlightSearch(FlightsObserver):
    """Every airport and carrier of the timetable, to be found by the beginnings of words. It only grows: what one
    aircraft has named, another may have named too, so a single partition cannot be undone."""

    tables = tables
    handles = (FlightScheduled,)

    @classmethod
    def source(cls, place: Place) -> EventSource:
        """Raises FlightsDataMissing at once, where each event's handler would raise it else."""
        for kind in get_args(Kind):
            installed_names(kind)
        return super().source(place)

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        named = {each for observed in events for each in named_by(observed.event)}
        new = sorted(named - _known(effects))
        table = effects.table(search_table)
        # A virtual table of SQLite's knows no keys; but there is one writer at a time, who has looked.
        once = table.insert() if effects.on_sqlite else insert_into(effects, table).on_conflict_do_nothing()
        write_rows(effects, once, [_row(found_of(kind, code)) for kind, code in new])

    def verify(self, effects: Effects, source: EventSource, until: int) -> None:
        """By a loop over the timetable: each airport and carrier is there once, and nothing else; each can be found."""
        expected = sorted(found_of(kind, code) for kind, code in _named_until(source, until))
        table = effects.table(search_table)
        actual = sorted(Found(*row) for row in effects.connection.execute(_select(table)))
        if expected != actual:
            raise IndexDiffers(self.name, _difference(expected, actual))
        for found in expected:
            text = f"{found.kind} {found.code} {found.name or ''}"
            if found not in _matches(effects.connection, table, text, limit=None):
                raise IndexDiffers(self.name, f"{found.kind} {found.code} is there, and a search does not find it")


def search(connection: sa.Connection, namespace: str, text: str, limit: int = FOUND_MOST) -> list[Found]:
    """The airports and carriers that have a word beginning with each of these; one with that code comes first."""
    return _matches(connection, Generation(tables, namespace).table(search_table), text, limit)


def words_of(text: str) -> list[str]:
    """The words of a text as they are indexed and asked for: O'Hare has two."""
    return WORD.findall(text.lower())


def named_by(event: FlightFacts) -> Iterator[tuple[Kind, str]]:
    yield "airport", event.origin
    yield "airport", event.destination
    yield "carrier", event.carrier


def found_of(kind: Kind, code: str) -> Found:
    return Found(kind, code, installed_names(kind).get(code))


def _row(found: Found) -> dict[str, Any]:
    words = dict.fromkeys(words_of(f"{found.kind} {found.code} {found.name or ''}"))
    return {**found._asdict(), "words": " ".join(words)}


def _known(effects: Effects) -> set[tuple[Kind, str]]:
    table = effects.table(search_table)
    return {(kind, code) for kind, code in effects.connection.execute(sa.select(table.c.kind, table.c.code))}


def _named_until(source: EventSource, until: int) -> set[tuple[Kind, str]]:
    is_handled = handled_topics(FlightSearch.handles)
    stored = (each for each in source.all(until) if is_handled(each.topic))
    return {named for each in stored for named in named_by(source.event(each))}


def _select(table: sa.Table) -> "sa.Select[Any]":
    return sa.select(*(table.c[name] for name in Found._fields))


def _matches(connection: sa.Connection, table: sa.Table, text: str, limit: int | None) -> list[Found]:
    words = words_of(text)
    if not words:
        return []
    if connection.dialect.name == "sqlite":
        matches = table.c.words.op("MATCH")(" ".join(f'"{word}"*' for word in words))
    else:
        query = " & ".join(f"'{word}':*" for word in words)
        matches = table.c.document.op("@@")(sa.cast(query, postgresql.TSQUERY))
    first = sa.case((sa.func.lower(table.c.code) == text.strip().lower(), 0), else_=1)
    asked = _select(table).where(matches).order_by(first, table.c.kind, table.c.code).limit(limit)
    return [Found(*row) for row in connection.execute(asked)]


def _difference(expected: Iterable[Found], actual: Sequence[Found]) -> str:
    there: Mapping[tuple[str, str], Found] = {(each.kind, each.code): each for each in actual}
    wanted: Mapping[tuple[str, str], Found] = {(each.kind, each.code): each for each in expected}
    for key, found in wanted.items():
        if key not in there:
            return f"{found.kind} {found.code} is missing"
        if there[key] != found:
            return f"{found.kind} {found.code} is called {there[key].name!r}, not {found.name!r}"
    for key, found in there.items():
        if key not in wanted:
            return f"no flight names {found.kind} {found.code}"
    return "something is there twice"
