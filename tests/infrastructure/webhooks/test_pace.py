"""When a receiver that failed is tried again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.infrastructure.webhooks.pace import Pace, asked_to_wait

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_each_wait_is_twice_the_one_before_but_for_chance_and_at_most_an_hour(failures: int, chance: float) -> None:
    pace = Pace()

    full = min(5.0 * 2 ** min(failures - 1, 60), 3600.0)
    assert full / 2 <= pace.wait_seconds(failures, chance, None) <= full


@given(asked=st.floats(0, 1e12))
def test_a_receiver_may_ask_for_more_time_and_for_no_more_than_an_hour(asked: float) -> None:
    assert Pace().wait_seconds(1, 0.0, asked) == min(max(5.0, asked), 3600.0)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("9" * 400, 999_999_999.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:05:05", 60.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("1 Jan 99999999999999 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 999_999_999.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 999_999_999.0),
        ("Fri, 02 Jan 2026 03:05:05 +99999999999999", None),
        ("", None),
    ],
)
def test_a_retry_after_names_seconds_or_a_date_and_anything_else_is_none(
    told: str | None, seconds: float | None
) -> None:
    assert asked_to_wait(told, NOW) == seconds


@given(told=st.text() | st.from_regex(r"\A[0-9]{1,2} Jan [0-9]{1,20} [0-9:]{1,12} [+-]?[0-9A-Z]{0,20}\Z"))
def test_no_retry_after_stops_anything(told: str) -> None:
    asked = asked_to_wait(told, NOW)

    assert asked is None or 0.0 <= asked <= 999_999_999.0
