"""`milepost audit`: its commands by name."""

from typing import ClassVar

from milepost.interfaces.cli.command import LazyGroup, group, new_app


class AuditCommands(LazyGroup):
    """The word behind `milepost audit`."""

    modules: ClassVar[dict[str, str]] = {
        "verify": "milepost.interfaces.cli.audit.verify",
        "rebuild": "milepost.interfaces.cli.audit.rebuild",
        "export": "milepost.interfaces.cli.audit.exporting",
        "import": "milepost.interfaces.cli.audit.importing",
        "replay": "milepost.interfaces.cli.audit.replay",
        "seal": "milepost.interfaces.cli.audit.seal",
    }


app = new_app(AuditCommands, "Prove histories, and take them elsewhere.")
group(app)
