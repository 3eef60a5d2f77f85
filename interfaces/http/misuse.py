"""What a request has wrong, in words: which of its parts is not taken, and what that part takes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from milepost.interfaces.http.access import ID_BEGUN, NAME, NO_NUL, NO_SPACES
from milepost.interfaces.http.versions import ETAGS

LONGEST: Final = 300  # characters of what a caller has sent that are sent back

_PATTERNS: Final[Mapping[str, str]] = {
    NAME: "takes 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first",
    NO_NUL: "takes no NUL character",
    NO_SPACES: "takes ASCII letters, digits and signs, and no spaces",
    ETAGS: 'takes ETags as they were answered, with their quotes: "42"; several with commas between; or *',
    ID_BEGUN: "takes the beginning of a job id",
}
_NUMBER: Final = "takes a whole number"
_TIME: Final = "takes a time with its zone: 2027-01-31T09:30:00Z"
_OBJECT: Final = "takes an object"
_KINDS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "is nothing that is taken",
    "uuid_parsing": "takes a whole job id",
    "uuid_type": "takes a whole job id",
    "int_parsing": _NUMBER,
    "int_parsing_size": _NUMBER,
    "int_from_float": _NUMBER,
    "int_type": _NUMBER,
    "bool_parsing": "takes true or false",
    "bool_type": "takes true or false",
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_type": _TIME,
    "timezone_aware": _TIME,
    "string_type": "takes a text",
    "list_type": "takes a list",
    "dict_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "string_too_long": "takes at most {max_length} characters",
    "string_too_short": "takes at least {min_length} characters",
    "too_long": "takes at most {max_length} of them",
    "too_short": "takes at least {min_length} of them",
    "greater_than_equal": "takes no number below {ge}",
    "less_than_equal": "takes no number above {le}",
    "enum": "takes {expected}",
    "literal_error": "takes {expected}",
}


def part_of(place: Sequence[str | int]) -> str:
    """`the header If-Match`: what stands at a place as pydantic names it."""
    kind, *names = (str(each) for each in place)
    match kind:
        case "query":
            return f"the parameter {names[0][:LONGEST]}"
        case "header":
            return f"the header {names[0].title()}"
        case _ if names:
            return f"the {kind}'s {'.'.join(names)[:LONGEST]}"
        case _:
            return f"the {kind}"


def complaint(error: Mapping[str, Any]) -> str:
    """`takes a whole job id`: what pydantic says of it in a language of its own."""
    kind, facts = str(error["type"]), error.get("ctx", {})
    known = _PATTERNS.get(facts["pattern"]) if kind == "string_pattern_mismatch" else _KINDS.get(kind)
    return known.format(**facts) if known else f"is not taken: {str(error['msg'])[:LONGEST]}"
