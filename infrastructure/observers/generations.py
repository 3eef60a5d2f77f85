"""The tables of an observer's read model: one set per namespace and generation, made, swapped and dropped as one.

Readers use the plain names. A generation that is built beside the one that serves has its own names until the swap,
which renames both in one transaction.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

import sqlalchemy as sa
from sqlalchemy.exc import NoReferenceError

from milepost.infrastructure.settings import DEFAULT_NAMESPACE


def namespace_suffix(namespace: str) -> str:
    """Nothing for the default; else readable, and never the same for two (SQLite's names ignore case)."""
    if namespace == DEFAULT_NAMESPACE:
        return ""
    digest = hashlib.sha256(namespace.encode()).hexdigest()[:12]
    return "_" + re.sub(r"[^a-z0-9]+", "_", namespace.lower())[:20] + "_" + digest


class Generation:
    """One generation of an observer's tables. `beside`: it is being built; None: it is the one that is read."""

    def __init__(self, tables: sa.MetaData | None, namespace: str, beside: int | None = None) -> None:
        self._declared = [] if tables is None else list(tables.sorted_tables)
        self._suffix = namespace_suffix(namespace)
        self._beside = beside

    @cached_property
    def _tables(self) -> dict[str, sa.Table]:
        """Copied under the names they were declared by, so that foreign keys find their copies, and then renamed."""
        metadata = sa.MetaData()
        copies = {table.name: table.to_metadata(metadata) for table in self._declared}
        for table in copies.values():
            for key in table.foreign_keys:
                _ = key.column  # is looked for once, by that name
        for declared in self._declared:
            table = copies[declared.name]
            table.name = table.fullname = self._name(declared)
            _name_anew(table)
        return copies

    def table(self, table: sa.Table) -> sa.Table:
        """As it is called here. Raises KeyError for a table that is not the observer's."""
        return self._tables[table.name]

    def ensure(self, connection: sa.Connection) -> None:
        """Make what is not there yet: as SQLAlchemy does, or by the function that a table names as `info["create"]`."""
        for table in self._tables.values():
            create: Callable[[sa.Connection, sa.Table], None] | None = table.info.get("create")
            if create is None:
                table.create(connection, checkfirst=True)
            elif not sa.inspect(connection).has_table(table.name, schema=_schema_of(connection)):
                create(connection, table)

    def recreate(self, connection: sa.Connection) -> None:
        """Empty, and as they are declared now."""
        self.drop(connection)
        self.ensure(connection)

    def drop(self, connection: sa.Connection) -> None:
        for table in reversed(self._tables.values()):
            table.drop(connection, checkfirst=True)

    def swap_in(self, connection: sa.Connection, served: "Generation") -> None:
        """From this transaction on readers find this generation under the plain names; the other one is gone."""
        served.drop(connection)
        for table in self._declared:
            old, new = self._name(table), served._name(table)
            quote, schema = connection.dialect.identifier_preparer.quote, _schema_of(connection)
            where = f"{quote(schema)}." if schema else ""
            connection.exec_driver_sql(f"ALTER TABLE {where}{quote(old)} RENAME TO {quote(new)}")

    def _name(self, table: sa.Table) -> str:
        beside = "" if self._beside is None else f"__{self._beside}"
        return f"{table.name}{self._suffix}{beside}"


def _schema_of(connection: sa.Connection) -> str | None:
    translated: Mapping[str | None, str | None] = connection.get_execution_options().get("schema_translate_map") or {}
    return translated.get(None)


def unfit(tables: sa.MetaData) -> str | None:
    """Why they cannot be built beside one another, in words; None where they can."""
    own = set(tables.tables.values())
    for table in own:
        if table.schema is not None:
            return f"its table {table.name} names a schema; an observer's tables are where the event store's are"
        for key in table.foreign_keys:
            try:
                elsewhere = key.column.table not in own
            except NoReferenceError:
                elsewhere = True
            if elsewhere:
                return (
                    f"a foreign key of its table {table.name} refers to {key.target_fullname}, which is none of its"
                    " `tables`: those come and go with each replay"
                )
    referred = {table.name: {key.column.table.name for key in table.foreign_keys} - {table.name} for table in own}
    try:
        TopologicalSorter(referred).prepare()
    except CycleError as error:
        return f"foreign keys of its tables go in a circle: {', '.join(sorted(set(error.args[1])))}"
    return None


def _name_anew(table: sa.Table) -> None:
    """Names of indexes, also of those behind constraints, are one space with those of all tables, and stay when a table
    is renamed: each has its own."""
    named: list[sa.Index | sa.Constraint] = [*table.indexes, *table.constraints]
    for each in named:
        if each.name is not None:
            digest = hashlib.sha256(f"{table.name}/{each.name}".encode()).hexdigest()[:12]
            each.name = sa.quoted_name(f"{str(each.name)[:45]}_{digest}", None)
