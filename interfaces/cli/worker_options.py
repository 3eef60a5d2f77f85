"""The options of whatever runs steps."""

import os
from enum import StrEnum
from typing import Annotated, Final

import typer

from milepost.interfaces.bootstrap import ExecutorKind

A_DAY: Final = 86_400.0
MOST_SLOTS: Final = 1000  # each is a thread or a process


class Executor(StrEnum):
    THREADS = "threads"
    PROCESSES = "processes"
    DASK = "dask"

    @property
    def kind(self) -> ExecutorKind:
        kinds: dict[Executor, ExecutorKind] = {Executor.THREADS: "threads", Executor.PROCESSES: "processes"}
        return kinds.get(self, "dask")


Slots = Annotated[
    int | None,
    typer.Option(
        "--slots", min=1, max=MOST_SLOTS, help="How many steps run at once; else one more than processors.", metavar="N"
    ),
]


def slots_or_default(slots: int | None) -> int:
    return slots or (os.cpu_count() or 1) + 1
