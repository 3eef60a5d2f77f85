"""How hard Hypothesis looks: the same examples in every run, more of them with `MILEPOST_HYPOTHESIS=thorough`."""

import os

from hypothesis import settings

settings.register_profile("same-every-time", derandomize=True, deadline=None, max_examples=100)
settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("MILEPOST_HYPOTHESIS", "same-every-time"))
