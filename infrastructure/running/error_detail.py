"""An exception as it is kept in a history: whole, but of bounded size, and it says where it was cut."""

import traceback
from typing import Final

from milepost.domain.events import ErrorDetail

MESSAGE_MAX: Final = 10_000  # characters
TRACEBACK_MAX: Final = 50_000
CAUSES_MAX: Final = 10


def error_detail(error: BaseException) -> ErrorDetail:
    """Type, message, traceback and cause chain of an exception."""
    message, message_cut = _cut(_message(error), MESSAGE_MAX)
    trace, trace_cut = _cut("".join(traceback.format_exception(error)), TRACEBACK_MAX)
    causes, causes_cut = _causes(error)
    return ErrorDetail(
        type=_type(error),
        message=message,
        traceback=trace,
        causes=causes,
        cut=message_cut or trace_cut or causes_cut,
    )


def _causes(error: BaseException) -> tuple[tuple[str, ...], bool]:
    causes: list[str] = []
    seen = {id(error)}
    cut = False
    cause = _cause(error)
    while cause is not None and id(cause) not in seen:
        if len(causes) == CAUSES_MAX:
            return tuple(causes), True
        seen.add(id(cause))
        text, one_cut = _cut(f"{_type(cause)}: {_message(cause)}", MESSAGE_MAX)
        causes.append(text)
        cut = cut or one_cut
        cause = _cause(cause)
    return tuple(causes), cut


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _type(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - a broken __str__ must not hide the error itself
        text = f"<its message cannot be read: {type(second).__name__}>"
    # Lone surrogates cannot be stored as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(text: str, limit: int) -> tuple[str, bool]:
    """The beginning and the end, which say where it was called and what broke."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return text, False
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters cut …\n{text[-half:]}", True
