"""`milepost jobs`: its commands by name."""

from typing import ClassVar

from milepost.interfaces.cli.command import LazyGroup, group, new_app


class JobCommands(LazyGroup):
    """The word behind `milepost jobs`."""

    modules: ClassVar[dict[str, str]] = {
        "list": "milepost.interfaces.cli.jobs.list",
        "get": "milepost.interfaces.cli.jobs.get",
        "start": "milepost.interfaces.cli.jobs.start",
        "run": "milepost.interfaces.cli.jobs.run",
        "stop": "milepost.interfaces.cli.jobs.change",
        "resume": "milepost.interfaces.cli.jobs.change",
        "cancel": "milepost.interfaces.cli.jobs.change",
        "remove": "milepost.interfaces.cli.jobs.change",
        "prune": "milepost.interfaces.cli.jobs.prune",
        "watch": "milepost.interfaces.cli.jobs.watch",
        "wait": "milepost.interfaces.cli.jobs.wait",
        "history": "milepost.interfaces.cli.jobs.history",
        "diff": "milepost.interfaces.cli.jobs.diff",
        "why": "milepost.interfaces.cli.jobs.why",
    }


app = new_app(JobCommands, "Start jobs, look at them, stop and resume them.")
group(app)
