"""Settings for every room's tests."""

from hypothesis import settings

# Machines under load must not fail a law: no deadline per example, and the same examples each run.
settings.register_profile("rankdistill", deadline=None, derandomize=True)
settings.load_profile("rankdistill")
