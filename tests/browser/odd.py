"""Job types for the page; a test copies this file to where the server and the worker find it."""

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from milepost import JobType, Step, StepContext, job_type

MARKUP = "<img src=x onerror=\"document.title='broken into'\"><script>document.title='broken into'</script>"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Frame(BaseModel):
    width: int = 3


class PaintRequest(BaseModel):
    """One field of each kind."""

    title: str = Field(description="what it shows", min_length=3)
    colour: Colour = Colour.RED
    layers: int = Field(default=2, ge=1, le=9)
    share: float | None = None
    varnish: bool = False
    sizes: list[int] = [1, 2]
    frame: Frame = Frame()
    notes: dict[str, Any] = {}


@job_type("paint")
class Paint(JobType[PaintRequest]):
    """Paints nothing, and keeps what it was asked."""

    def plan(self, request: PaintRequest) -> Iterable[Step]:
        return [Step("only")]

    def perform(self, step: StepContext[PaintRequest]) -> None:
        step.progress(done=1, total=1)


class HeldRequest(BaseModel):
    """`gate`: a file; as long as it is there, steps stay at their last item."""

    steps: int = 2
    items: int = 4
    gate: str


@job_type("held")
class Held(JobType[HeldRequest]):
    """Comes to its end when its gate is opened."""

    def plan(self, request: HeldRequest) -> Iterable[Step]:
        for number in range(request.steps):
            yield Step(f"step-{number}")

    def perform(self, step: StepContext[HeldRequest]) -> None:
        items = step.request.items
        for item in range((step.checkpoint or 0) + 1, items + 1):
            while item == items and Path(step.request.gate).exists():
                step.sleep(0.02)
            step.progress(done=item, total=items, unit="items", checkpoint=item, durable=True)


class NothingAsked(BaseModel):
    """It asks for nothing."""


@job_type("markup")
class Markup(JobType[NothingAsked]):
    """Says everything in markup."""

    def details(self, request: NothingAsked) -> str:
        return MARKUP

    def plan(self, request: NothingAsked) -> Iterable[Step]:
        return [Step(MARKUP)]

    def perform(self, step: StepContext[NothingAsked]) -> None:
        step.progress(done=1, total=2, unit=MARKUP, message=MARKUP)
        raise ValueError(MARKUP)
