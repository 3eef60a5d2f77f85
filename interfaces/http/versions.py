"""Versions of jobs as HTTP writes them: ETags, and what a command may insist on."""

import re
from typing import Final
from uuid import UUID

from milepost.domain.errors import VersionMismatch
from milepost.interfaces.http.access import Access

_TAG: Final = r'(W/)?"[\x21\x23-\x7e]*"'
ETAGS: Final = rf"^(\*|{_TAG}(\s*,\s*{_TAG})*)$"
_EACH: Final = re.compile(r'(W/)?"([^"]*)"')
_OF_STATUS: Final = re.compile(r'"status-([0-9]{1,12})"')
ANY: Final = "*"
NEVER: Final = -1  # a version that no job has


class NotThatVersion(VersionMismatch):
    """A command insists on a version that the job has left: who has changed it meanwhile, and how."""

    def __init__(self, access: Access, error: VersionMismatch) -> None:
        super().__init__(error.job_id, error.expected, error.actual)
        changed = _last_change(access, error)
        what = str(self) if error.expected != NEVER else f"Job {self.job_id} is at version {self.actual}, not as asked."
        self.told = what + (f" {changed}" if changed else "")


def etag(version: int) -> str:
    return f'"{version}"'


def is_known(if_none_match: str, version: int) -> bool:
    """Whether a caller has this version already."""
    return if_none_match.strip() == ANY or str(version) in [tag for _, tag in _EACH.findall(if_none_match)]


def expected(access: Access, job_id: UUID, if_match: str) -> int | None:
    """The version that a command insists on; None for any. Of several, the one that the job has now.

    A weak tag never matches (RFC 9110): it does not say that the job is the same. Raises JobNotFound.
    """
    if if_match.strip() == ANY:
        return None
    tags = [int(tag) for weak, tag in _EACH.findall(if_match) if not weak and tag.isascii() and tag.isdigit()]
    if len(tags) > 1:
        now: int = access.app.queries.job(access.service.namespace, str(job_id))["version"]
        return now if now in tags else tags[0]
    return tags[0] if tags else NEVER


def expected_status(if_match: str) -> int | None:
    """The version of the newest change of status that a command insists on; None where it says no such thing."""
    found = _OF_STATUS.fullmatch(if_match.strip())
    return int(found[1]) if found else None


def _last_change(access: Access, error: VersionMismatch) -> str | None:
    """The newest change of status since then; where there is none, only its steps have gone on."""
    job_id = str(error.job_id)
    changes = [each for each in access.app.queries.status_changes([job_id])[job_id] if each["version"] > error.expected]
    if not changes:
        return None
    newest = changes[-1]
    reason = f", because: {newest['reason']}" if newest["reason"] else ""
    return f"Since {newest['occurred']} it is {newest['status']}, by {newest['actor']}{reason}."
