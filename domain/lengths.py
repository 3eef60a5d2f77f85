"""How long names may be, so that any storage can keep them. It imports nothing: listings should not wait for it."""

from typing import Final

LONGEST_JOB_TYPE: Final = 200  # characters
