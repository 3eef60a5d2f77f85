"""A job type whose module waits in the second process that imports it, until it is let go on."""

import os
import time
from pathlib import Path

from milepost.infrastructure.job_types.job_type import job_type
from tests.infrastructure.running.importable import Ordered

FOLDER = os.environ.get("MILEPOST_TEST_SLOW_IMPORT", "")


@job_type("slow-to-import")
class SlowToImport(Ordered):
    """As ordered."""


if FOLDER:
    (Path(FOLDER) / f"importing-{os.getpid()}").touch()
    while len(list(Path(FOLDER).glob("importing-*"))) > 1 and not (Path(FOLDER) / "go").exists():
        time.sleep(0.005)
