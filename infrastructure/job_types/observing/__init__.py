"""The job types that work on observers: they are ordinary ones, and stop and resume as all do."""
