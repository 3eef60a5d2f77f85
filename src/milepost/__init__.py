"""Jobs that can be stopped, resumed, watched and audited: the names a program imports."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from milepost.domain.decide import decide
    from milepost.domain.envelope import Origin, RecordedEvent
    from milepost.domain.errors import IllegalTransition, JobError, VersionMismatch
    from milepost.domain.events import ErrorDetail, JobEvent, Policy, Progress
    from milepost.domain.job import Job, evolve, replay
    from milepost.domain.observers.policy import PartitionPolicy
    from milepost.domain.state_machine import JobStatus, StepStatus
    from milepost.infrastructure.job_types.job_type import JobType, Limits, NoRequest, Step, job_type
    from milepost.infrastructure.observers.observer import Effects, Observed, Observer, Place, observer
    from milepost.infrastructure.observers.sources import EventSource
    from milepost.infrastructure.running.step_context import (
        HookContext,
        StepContext,
        StepTimedOut,
        StepTransaction,
        StopRequested,
    )

__all__ = [
    "Effects",
    "ErrorDetail",
    "EventSource",
    "HookContext",
    "IllegalTransition",
    "Job",
    "JobError",
    "JobEvent",
    "JobStatus",
    "JobType",
    "Limits",
    "NoRequest",
    "Observed",
    "Observer",
    "Origin",
    "PartitionPolicy",
    "Place",
    "Policy",
    "Progress",
    "RecordedEvent",
    "Step",
    "StepContext",
    "StepStatus",
    "StepTimedOut",
    "StepTransaction",
    "StopRequested",
    "VersionMismatch",
    "__version__",
    "decide",
    "evolve",
    "job_type",
    "observer",
    "replay",
]

__version__: str

# Hidden from type checkers, so that a misspelt name is still an error to them.
if not TYPE_CHECKING:
    _HOMES = {
        "milepost.domain.decide": ("decide",),
        "milepost.domain.envelope": ("Origin", "RecordedEvent"),
        "milepost.domain.errors": ("IllegalTransition", "JobError", "VersionMismatch"),
        "milepost.domain.events": ("ErrorDetail", "JobEvent", "Policy", "Progress"),
        "milepost.domain.job": ("Job", "evolve", "replay"),
        "milepost.domain.observers.policy": ("PartitionPolicy",),
        "milepost.domain.state_machine": ("JobStatus", "StepStatus"),
        "milepost.infrastructure.job_types.job_type": ("JobType", "Limits", "NoRequest", "Step", "job_type"),
        "milepost.infrastructure.observers.observer": ("Effects", "Observed", "Observer", "Place", "observer"),
        "milepost.infrastructure.observers.sources": ("EventSource",),
        "milepost.infrastructure.running.step_context": (
            "HookContext",
            "StepContext",
            "StepTimedOut",
            "StepTransaction",
            "StopRequested",
        ),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name: str) -> object:
        """Looked up when first asked for, and then kept: importing milepost stays instant."""
        if name == "__version__":
            from importlib.metadata import version

            found = version(__name__)
        elif name in _HOME_OF:
            from importlib import import_module

            found = getattr(import_module(_HOME_OF[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted(set(globals()) | set(__all__))
