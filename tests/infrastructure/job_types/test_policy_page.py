"""The page about job types names every field of a policy, with the default that it has."""

import re
from pathlib import Path

from milepost.domain.events import Policy

PAGE = Path(__file__).parents[3] / "docs" / "job-types.md"


def test_the_page_tells_every_field_of_a_policy_and_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    assert told == {name: repr(field.default) for name, field in Policy.model_fields.items()}
