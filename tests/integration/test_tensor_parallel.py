"""Test an engine of two processes (tensor parallelism) on CPUs: weight updates, a failed one, and its end."""

from pathlib import Path

import psutil
import pytest
import torch

from quickstart.tiny import build_tiny_model
from tests.integration.programs.parallel_engine import TENSOR_PARALLEL_SIZE, Broken, Served, start
from tests.models.tiny import expected_logprobs, load_model

LOAD_S = 240
END_S = 30


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def alive(children: tuple[int, ...]) -> list[psutil.Process]:
    """Return those of the processes that still run after END_S seconds."""
    found = [psutil.Process(child) for child in children if psutil.pid_exists(child)]
    _, left = psutil.wait_procs(found, timeout=END_S)
    return [child for child in left if child.status() != psutil.STATUS_ZOMBIE]


def test_it_samples_takes_updates_and_is_dead_after_one_that_failed(model: Path) -> None:
    process, pipe = start(model)
    assert pipe.poll(LOAD_S)
    served = pipe.recv()
    assert isinstance(served, Served)
    assert served.version == 3 and set(served.rollout.token_versions) == {3}
    expected = expected_logprobs(load_model(model), served.rollout.token_ids, temperature=1.0)
    torch.testing.assert_close(torch.tensor(served.rollout.logprobs), expected, rtol=0, atol=1e-3)
    assert len(served.children) >= TENSOR_PARALLEL_SIZE
    pipe.send("go on")
    assert pipe.poll(LOAD_S)
    assert pipe.recv() == Broken(failure="DeadEngine", heartbeat="DeadEngine")
    process.join(timeout=END_S)
    assert process.exitcode == 0
    assert alive(served.children) == []


def test_its_processes_end_with_the_one_that_started_them(model: Path) -> None:
    process, pipe = start(model)
    assert pipe.poll(LOAD_S)
    served = pipe.recv()
    assert isinstance(served, Served)
    for child in served.children:
        psutil.Process(child).suspend()  # as one that hangs in a call: it does not see that its parent is gone
    process.kill()
    process.join(timeout=END_S)
    assert alive(served.children) == []
