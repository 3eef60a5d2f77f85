"""`self-test`: exercises an installation, with steps that count, wait, fail or carry weight as they are told."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from milepost.domain.events import Policy
from milepost.infrastructure.job_types.job_type import JobType, Step, job_type
from milepost.infrastructure.running.step_context import StepContext

StepNumber = Annotated[int, Field(ge=1)]


class SelfTestRequest(BaseModel):
    """How much to do, and what shall go wrong."""

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=10, ge=0, le=1_000_000, description="how many steps: step-1, step-2, …")
    items: int = Field(default=10, ge=0, description="items that each step counts as its progress")
    seconds: float = Field(default=0, ge=0, description="how long one item takes")
    fail_steps: list[StepNumber] = Field(default=[], description="numbers of the steps that fail")
    fail_attempts: int | None = Field(default=None, ge=1, description="how often they fail; null: always")
    payload_bytes: int = Field(default=0, ge=0, le=1_000_000, description="size of the checkpoint that each step keeps")


class SelfTestFailure(Exception):
    """The failure that the request asked for."""


@job_type("self-test")
class SelfTest(JobType[SelfTestRequest]):
    """Exercises an installation: steps that count items, and fail where they are told to."""

    policy = Policy(attempts=3, backoff_seconds=0.2, backoff_max_seconds=5)

    def plan(self, request: SelfTestRequest) -> Iterable[Step]:
        for number in range(1, request.steps + 1):
            yield Step(f"step-{number}")

    def details(self, request: SelfTestRequest) -> str:
        return f"{request.steps} steps of {request.items} items"

    def perform(self, step: StepContext[SelfTestRequest]) -> None:
        request, number = step.request, step.index + 1
        reached = step.checkpoint["item"] if step.checkpoint else 0
        payload = "x" * request.payload_bytes
        for item in range(reached + 1, request.items + 1):
            if request.seconds:
                step.sleep(request.seconds)
            step.progress(done=item, total=request.items, unit="items", checkpoint={"item": item, "payload": payload})
        if number in request.fail_steps and (request.fail_attempts is None or step.attempt <= request.fail_attempts):
            raise SelfTestFailure(f"step-{number} was told to fail (attempt {step.attempt})")
