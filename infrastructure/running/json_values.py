"""JSON that user code hands over: copied at once, because it may go on changing it, and refused where it is none."""

import json
import math
from typing import Any

from milepost.domain.events import Json


class NotJson(TypeError):
    """A value that cannot be stored as JSON, or would come back as another one."""

    def __init__(self, what: str, cause: str) -> None:
        self.what = what
        super().__init__(f"{what} cannot be stored as JSON: {cause}")


def as_json(value: Any, what: str) -> Json:
    """The value as it will be read back. Raises NotJson, which names it as `what`."""
    if value is None or type(value) is bool or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is int and value.bit_length() <= 64:  # larger ones may be too long to be read again
        return value
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()  # a lone surrogate has no place in a file
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(what, str(error)) from error
