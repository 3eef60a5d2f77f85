"""Ids, times and chances as the real runtime gets them."""

from datetime import timedelta
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from milepost.infrastructure.clock import RealSurroundings, uuid7


def test_the_time_is_utc() -> None:
    assert RealSurroundings().now().utcoffset() == timedelta(0)


def test_ids_are_version_7_of_the_rfcs_variant_and_all_different() -> None:
    surroundings = RealSurroundings()
    ids = [surroundings.new_id() for _ in range(1_000)]

    assert {(made.version, made.variant) for made in ids} == {(7, "specified in RFC 4122")}
    assert len(set(ids)) == len(ids)


def test_the_example_of_the_rfc_is_made_from_its_parts() -> None:
    """RFC 9562, appendix A.6."""
    assert uuid7(0x017F22E279B0, (0xCC3 << 62) | 0x18C4DC0C0C07398F) == UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


@given(st.integers(0, 2**48 - 2), st.integers(0, 2**74 - 1), st.integers(0, 2**74 - 1))
def test_ids_are_in_the_order_of_their_milliseconds(milliseconds: int, one: int, other: int) -> None:
    assert str(uuid7(milliseconds, one)) < str(uuid7(milliseconds + 1, other))


def test_chances_are_those_of_its_random() -> None:
    assert RealSurroundings(random=Random(7)).chance() == Random(7).random()
