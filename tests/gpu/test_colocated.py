"""Test policy workers and learner ranks that use the same GPUs in turns: sleep mode, CUDA IPC, states on the host.

There is no such thing on a CPU, where these tests are skipped.
"""

import asyncio
import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from rich.console import Console as Terminal

from cluster.layout import layout
from cluster.team import Team
from contracts.batches import PushResult
from contracts.config.run import Config
from contracts.rollouts import SamplingRequest
from driver.tracking.console import Console
from driver.tracking.line_logs import read_metrics
from tests.commands import run_project
from tests.gpu.device import CLOSE, DEVICE, ON_GPU, needs_gpus
from tests.gpu.test_push import DEADLINE_S, tiny_config
from tests.integration.conftest import STEPS, TinyModels, prepare_tiny
from tests.integration.test_push import Groups, batch_of
from tests.runs.own_ray import own_bundles

pytestmark = pytest.mark.skipif(not ON_GPU, reason="only GPUs are shared in turns")

COLOCATED = ("cluster.colocate=true", "policy.gpu_memory_utilization=0.3")
GIB = float(1 << 30)


@dataclass
class Seen:
    """Hold what was seen while weights and memory went to and fro."""

    pushes: list[PushResult] = field(default_factory=list)
    checksums: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)  # learner's, worker's
    distances: list[float] = field(default_factory=list)  # of log-probabilities, of each version's own samples
    used_gib: list[tuple[float, float]] = field(default_factory=list)  # in the policy's turn, in the learner's


def used_gib() -> float:
    """Return the memory of the GPU that all processes use together."""
    free, total = torch.cuda.mem_get_info()
    return (total - free) / GIB


async def play(team: Team, config: Config, seen: Seen) -> None:
    """Push, draw and learn three times."""
    requests = [
        SamplingRequest(
            request_id=f"group-{number}",
            prompt_token_ids=tuple(range(40 + number, 90)),
            seeds=(1, 2, 3, 4),
            max_tokens=config.policy.max_response_tokens,
            temperature=config.policy.temperature,
        )
        for number in range(4)
    ]
    try:
        await team.start_all()
        assert team._turns is not None
        for version in range(3):
            seen.pushes.append(await team.learner.push_weights(version))
            (worker,) = team.policy_pool.supervisor.workers
            held = await worker.handle.checksums.remote()
            groups = await asyncio.gather(*(team.policy.sample(request) for request in requests))
            sampling_gib = used_gib()
            drawn: Groups = list(zip(requests, groups, strict=True))
            seen.checksums.append((await team._turns.learning(team.ranks.checksums), held))
            seen.used_gib.append((sampling_gib, used_gib()))
            batch = batch_of(drawn, config=config, pad_token_id=0)
            seen.distances.append((await team.learner.step(batch)).metrics["policy/logprob_diff_mean"])
    finally:
        await team.close()


@needs_gpus(1)
def test_a_worker_and_a_rank_use_one_gpu_in_turns(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    config, seen = tiny_config(tmp_path, tiny_models, "learner.num_ranks=1", *COLOCATED), Seen()
    with own_bundles(layout(config, DEVICE, roles=("policy", "learner")), environment) as bundles:
        team = Team(config, bundles, Console(Terminal(file=io.StringIO())), folder=tmp_path)
        asyncio.run(asyncio.wait_for(play(team, config, seen), DEADLINE_S))
    assert [(push.num_workers, push.missed) for push in seen.pushes] == [(1, ())] * 3
    assert all(learner == worker for learner, worker in seen.checksums)
    assert len({tuple(worker.values()) for _, worker in seen.checksums}) == 3
    assert max(seen.distances) < CLOSE
    cache_gib = 0.2 * torch.cuda.get_device_properties(0).total_memory / GIB  # of the 0.3 that vLLM takes, at least
    assert all(sampling - learning > cache_gib for sampling, learning in seen.used_gib)


@needs_gpus(2)
def test_a_colocated_run_trains_and_is_verified(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    prepared = prepare_tiny(tiny_models, folder=tmp_path)
    shared = ("pivot.num_gpus=0.5", "scorer.num_gpus=0.5", "learner.num_ranks=1", f"cluster.device={DEVICE}")
    words = ("train", str(prepared.path), "run.name=turns", *COLOCATED, *shared, "checkpoint.every_steps=2")
    trained = run_project(*words, cwd=tmp_path, environment=environment)
    assert trained.code == 0, trained.stderr
    folder = tmp_path / "runs" / "turns"
    assert [step.step for step in read_metrics(folder / "metrics.jsonl")] == list(range(1, STEPS + 1))
    assert run_project("verify", str(folder), cwd=tmp_path, environment=environment).code == 0
