"""Give every test an environment without a network and without threads that compete for the cores.

Set before any engine is imported. No fixture here touches a process that a test did not start.
"""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

# The same examples every time and no clock: a check fails for what the code does, not for the machine's load. Other
# examples: python -m pytest --hypothesis-profile=default
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies in tests/integration or tests/gpu is such a test: the marker can't be forgotten."""
    for item in items:
        if "gpu" in item.path.parts:
            item.add_marker(pytest.mark.gpu)
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.integration)
