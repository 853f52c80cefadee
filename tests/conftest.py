"""What every test gets: an environment without a network and without threads that fight over the cores.

Set before any engine is imported. No fixture here touches a process that a test did not start.
"""

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies in tests/integration is an integration test: the marker can't be forgotten."""
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.integration)
