"""Texts that every database keeps as they are."""

from milepost.domain.errors import JobError


class TextInvalid(JobError):
    """A text with a NUL character, which PostgreSQL cannot keep."""

    def __init__(self, what: str, text: str) -> None:
        self.what, self.text = what, text
        super().__init__(f"{what} has a NUL character, which cannot be stored: {text[:80]!r}")


def refuse_nul(what: str, text: str | None) -> None:
    """Raises TextInvalid."""
    if text is not None and "\0" in text:
        raise TextInvalid(what, text)
