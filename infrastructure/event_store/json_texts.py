"""The strings of a JSON array as rows, in the words of each database."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class _JsonTexts(GenericFunction[Any]):
    """As SQLite says it: json_each(array), whose column is `value`."""

    type = sa.Text()
    name = "json_each"
    inherit_cache = True


@compiles(_JsonTexts, "postgresql")
def _(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS json))"


def json_texts(array: sa.ColumnElement[str]) -> Any:
    """A table with the column `value`."""
    return _JsonTexts(array).table_valued("value")
