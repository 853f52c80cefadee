"""Test the one line that says why a node could not be checked."""

from ray.exceptions import RayTaskError, WorkerCrashedError

from cluster.preflight.nodes import why_unanswered
from contracts.paths import ROOT

TRACEBACK = """ray::look() (pid=7, ip=10.0.0.2)
  File "python/ray/_raylet.pyx", line 1, in execute
ModuleNotFoundError: No module named 'huggingface_hub'
"""


def test_a_node_that_lacks_the_project_or_a_package_is_told_what_and_where() -> None:
    failure = RayTaskError("look", TRACEBACK, ModuleNotFoundError("No module named 'huggingface_hub'"))
    line = why_unanswered(failure)
    assert "\n" not in line
    assert "No module named 'huggingface_hub'" in line and str(ROOT) in line


def test_another_error_is_told_as_it_is() -> None:
    failure = RayTaskError("look", TRACEBACK.replace("ModuleNotFoundError", "OSError"), OSError())
    assert why_unanswered(failure).startswith("OSError: ")
    crashed = WorkerCrashedError()
    assert why_unanswered(crashed) == str(crashed).splitlines()[0].strip()
