"""Into how many slices the partitions of an observer fall; a job's steps are sets of them. See ADR/0019."""

from typing import Final

SLICES: Final = 8  # on disk for ever; each is handled in order, and has its own position
