"""An exception as a history keeps it: whole, bounded, and it says where it was cut."""

from milepost.infrastructure.running.error_detail import CAUSES_MAX, MESSAGE_MAX, TRACEBACK_MAX, error_detail


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:  # noqa: BLE001 - it is what the test wants
        return caught


def test_a_small_error_is_kept_whole() -> None:
    detail = error_detail(raised(ValueError("no such aircraft")))

    assert (detail.type, detail.message, detail.causes, detail.cut) == ("ValueError", "no such aircraft", (), False)
    assert detail.traceback.endswith("ValueError: no such aircraft\n")


def test_the_type_of_an_error_names_its_module() -> None:
    class Odd(Exception):
        pass

    assert error_detail(Odd()).type == f"{__name__}.test_the_type_of_an_error_names_its_module.<locals>.Odd"


def test_a_long_message_keeps_its_beginning_and_its_end_and_says_what_was_cut() -> None:
    detail = error_detail(raised(ValueError("a" * MESSAGE_MAX + "z" * MESSAGE_MAX)))

    assert detail.cut
    assert detail.message.startswith("aaa")
    assert detail.message.endswith("zzz")
    assert f"{MESSAGE_MAX} characters cut" in detail.message
    assert len(detail.message) < MESSAGE_MAX + 100


def test_a_long_traceback_is_cut() -> None:
    detail = error_detail(raised(ValueError("x" * (2 * TRACEBACK_MAX))))

    assert len(detail.traceback) < TRACEBACK_MAX + 100


def test_the_causes_of_an_error_follow_it_from_the_nearest_on() -> None:
    first = raised(KeyError("tail"))
    second = raised(LookupError("aircraft"), first)

    assert error_detail(raised(ValueError("flight"), second)).causes == ("LookupError: aircraft", "KeyError: 'tail'")


def test_a_chain_of_causes_is_bounded() -> None:
    error = raised(ValueError("0"))
    for number in range(1, CAUSES_MAX + 5):
        error = raised(ValueError(str(number)), error)

    detail = error_detail(error)
    assert (len(detail.causes), detail.cut) == (CAUSES_MAX, True)


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first

    assert error_detail(first).causes == ("ValueError: 2",)


def test_a_cause_that_was_suppressed_is_left_out() -> None:
    error = ValueError("flight")
    error.__context__ = KeyError("tail")
    error.__suppress_context__ = True

    assert error_detail(error).causes == ()


def test_an_error_whose_message_cannot_be_read_is_kept_all_the_same() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert error_detail(raised(Unprintable())).message == "<its message cannot be read: RuntimeError>"


def test_a_message_that_is_no_text_for_a_file_is_made_one() -> None:
    detail = error_detail(raised(ValueError("\ud800 there")))

    assert detail.message == "\\ud800 there"
    detail.traceback.encode()
