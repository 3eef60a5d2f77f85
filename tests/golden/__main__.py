"""`python -m tests.golden` writes the golden files of stories that have none, and never touches one that is there."""

import sys

from tests.golden.observer_recording import write_new_observers
from tests.golden.recording import write_new

for written in (*write_new(), *write_new_observers()):
    sys.stdout.write(f"{written}: look at it, and commit it\n")
