"""How a worker's slots are shared by its jobs, and how long it keeps one that gets none."""

from collections.abc import Collection, Iterable
from typing import Final, Protocol, TypeVar
from uuid import UUID

STARVED_SECONDS: Final = 5.0  # how long a job may wait for a slot before it is left to a worker that has one,
STARVED_MOST_SECONDS: Final = 600.0  # and at most, where it comes back again and again
FORGOTTEN_SECONDS: Final = 3_600.0  # after so long it is a job like any other


class Tenant(Protocol):
    """A job as far as slots are concerned."""

    @property
    def busy(self) -> int:
        """Slots that its calls take."""
        ...

    @property
    def quick(self) -> bool:
        """Whether its steps are so short that their slots are as good as free."""
        ...

    def appetite(self) -> int:
        """How many more it could take."""
        ...


Held = TypeVar("Held", bound=Tenant)


def shares(tenants: Iterable[Held], slots: int) -> dict[Held, int]:
    """How many slots each may take: no more than it can use, and as many as the others where all want more."""
    wants: dict[Held, int] = {each: each.busy + each.appetite() for each in tenants}
    given: dict[Held, int] = dict.fromkeys(wants, 0)
    hungry: list[Held] = [each for each, want in wants.items() if want]
    while hungry and slots > 0:
        share = max(1, slots // len(hungry))
        for each in hungry:
            more = min(share, slots, wants[each] - given[each])
            given[each] += more
            slots -= more
        hungry = [each for each in hungry if given[each] < wants[each]]
    return given


def taken(tenants: Iterable[Tenant], quick_ones: int = 1) -> int:
    """Slots that somebody is in; a job of quick steps counts as in `quick_ones` of them at most."""
    return sum(min(each.busy, quick_ones) if each.quick else each.busy for each in tenants)


class Patience:
    """With jobs that get no slot here. It doubles each time that one comes back, so that full workers do not pass
    it to and fro."""

    def __init__(self) -> None:
        self._starving: dict[UUID, float] = {}  # since when
        self._given_away: dict[UUID, tuple[float, float]] = {}  # when, and how long it was waited

    def is_over(self, job_id: UUID, *, starves: bool, tick: float) -> bool:
        """Whether it has had no slot for too long, told in each round."""
        if not starves:
            self._starving.pop(job_id, None)
            return False
        return tick >= self._starving.setdefault(job_id, tick) + self._with(job_id)

    def begin_anew(self, job_id: UUID) -> None:
        """It is kept, or held no more."""
        self._starving.pop(job_id, None)

    def give_away(self, job_id: UUID, tick: float) -> None:
        """It is left to others."""
        waited = self._with(job_id)
        self._starving.pop(job_id, None)
        self._given_away = {
            known: (at, how_long) for known, (at, how_long) in self._given_away.items() if tick < at + FORGOTTEN_SECONDS
        }
        self._given_away[job_id] = tick, waited

    def given_away(self, tick: float) -> Collection[UUID]:
        """Those that should not be taken back yet, unless there is room."""
        return {job_id for job_id, (at, waited) in self._given_away.items() if tick < at + waited}

    def _with(self, job_id: UUID) -> float:
        _, before = self._given_away.get(job_id, (0.0, STARVED_SECONDS / 2))
        return min(2 * before, STARVED_MOST_SECONDS)
