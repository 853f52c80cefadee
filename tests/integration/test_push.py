"""Test what a weight push promises: every policy worker computes with exactly what the learner holds.

One scenario on two ZeRO-3 ranks and two vLLM workers, played once with all weights and once with LoRA adapters: first
push, a real optimiser step, second push, and in the end a worker that is killed. The learning rate is so high that a
forgotten push would be seen at once.
"""

import asyncio
import io
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from rich.console import Console as Terminal
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from actors.fleets.worker import Worker, WorkerState
from actors.generation.step_loop import StaleEngine
from actors.weight_sync.buckets import tensor_checksum
from cluster.layout import layout
from cluster.team import Team
from contracts.batches import PushResult, TrainBatch, TrainSample
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.rollouts import Problem, Rollout, SamplingRequest
from contracts.seeds import sampling_seeds
from driver.config_paths import with_absolute_paths
from driver.inputs import prepare_training
from driver.learning.batching import LossWeighting, pack
from driver.problems.stream import first_draws
from driver.tracking.console import Console
from tests.integration.conftest import TinyModels, write_config
from tests.runs.own_ray import own_bundles

OVERRIDES = ("policy.num_workers=2", "learner.learning_rate=0.01", "learner.max_grad_norm=1000", "weights.bucket_mib=1")
NUM_PROBLEMS = 6
NUM_SAMPLES = 4
CLOSE = 0.02  # mean distance of two log-probabilities of one token, in bf16

Groups = list[tuple[SamplingRequest, tuple[Rollout, ...]]]
Checksums = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Played:
    """Hold what was seen while the scenario was played."""

    has_adapters: bool
    before_any_push: object  # what a worker answers
    pushes: list[PushResult]
    learner_checksums: list[Checksums]  # after each push
    worker_checksums: list[list[Checksums]]  # after each push, of every worker
    worker_versions: list[list[int | None]]
    first_groups: Groups  # drawn from version 0
    second_groups: Groups  # drawn from version 1
    first_distance: float  # learner and engine of version 0, on what version 0 drew
    fresh_distance: float  # learner and engine of version 1, on what version 1 drew
    stale_distance: float  # the learner of version 2, on what version 1 drew
    replaced: Checksums  # of the worker that was started in the place of a killed one, without another push
    exported: Path  # the learner's weights of version 1


@pytest.fixture(scope="module", params=[(), ("learner.lora.rank=4",)], ids=["all weights", "adapters"])
def played(
    request: pytest.FixtureRequest,
    tiny_models: TinyModels,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("push")
    given = load_config(write_config(folder, tiny_models), (*OVERRIDES, *request.param))
    config = with_device_defaults(with_absolute_paths(given), "cpu")
    requests, pad_token_id = sampling_requests(config)
    with own_bundles(layout(config, "cpu", roles=("policy", "learner")), environment) as bundles:
        team = Team(config, bundles, Console(Terminal(file=io.StringIO())), folder=folder)
        yield asyncio.run(play(team, requests, config=config, pad_token_id=pad_token_id, folder=folder))


async def play(
    team: Team, requests: list[SamplingRequest], *, config: Config, pad_token_id: int, folder: Path
) -> Played:
    await team.start_all()
    before_any_push = await answer_of(team, requests[0])
    pushes, learners, workers, versions = [], [], [], []

    async def push(version: int) -> None:
        pushes.append(await team.learner.push_weights(version))
        learners.append(await team.ranks.checksums())
        workers.append([await worker.handle.checksums.remote() for worker in team.policy_pool.supervisor.workers])
        versions.append([await worker.handle.policy_version.remote() for worker in team.policy_pool.supervisor.workers])

    async def sampled() -> Groups:
        groups = await asyncio.gather(*(team.policy.sample(request) for request in requests))
        return list(zip(requests, groups, strict=True))

    async def distance(groups: Groups) -> float:
        """Compare the learner's log-probabilities of these tokens, before its next step, with those that drew them."""
        batch = batch_of(groups, config=config, pad_token_id=pad_token_id)
        return (await team.learner.step(batch)).metrics["policy/logprob_diff_mean"]

    await push(0)
    first_groups = await sampled()
    first_distance = await distance(first_groups)
    await push(1)
    second_groups = await sampled()
    exported = folder / "exported"
    await team.learner.export(str(exported))
    fresh_distance = await distance(second_groups)
    await push(2)
    replaced = await replaced_worker(team)
    stale_distance = await distance(second_groups)  # one step later
    await team.close()
    return Played(
        has_adapters=config.learner.lora is not None,
        before_any_push=before_any_push,
        pushes=pushes,
        learner_checksums=learners,
        worker_checksums=workers,
        worker_versions=versions,
        first_groups=first_groups,
        second_groups=second_groups,
        first_distance=first_distance,
        fresh_distance=fresh_distance,
        stale_distance=stale_distance,
        replaced=replaced,
        exported=exported,
    )


async def answer_of(team: Team, request: SamplingRequest) -> object:
    """Return what the first worker itself answers; the fleet does not send it requests yet."""
    handle = team.policy_pool.supervisor.workers[0].handle
    async for item in handle.sample.options(num_returns="streaming").remote([request]):
        _, answer = await item
        return answer
    return None


async def replaced_worker(team: Team) -> Checksums:
    """Kill a worker between two pushes, and wait until the one in its place serves."""
    victim = team.policy_pool.supervisor.workers[1]
    serves = asyncio.Event()

    def heard(worker: Worker) -> None:
        if worker is victim and worker.state is WorkerState.READY:
            serves.set()

    team.policy_pool.supervisor.subscribe(heard)
    os.kill(team.processes["policy-1"].pid, signal.SIGKILL)
    await serves.wait()
    return await victim.handle.checksums.remote()


def sampling_requests(config: Config) -> tuple[list[SamplingRequest], int]:
    """Return requests for the run's first problems, and the id of the padding token."""
    inputs = prepare_training(config)
    prompter = inputs.evaluation.prompter
    requests = [
        sampling_request(draw.problem, prompter.prompt_token_ids(draw.problem), config=config)
        for draw in first_draws(inputs.stream, NUM_PROBLEMS)
    ]
    return requests, inputs.evaluation.pad_token_id


def sampling_request(problem: Problem, prompt_token_ids: tuple[int, ...], *, config: Config) -> SamplingRequest:
    return SamplingRequest(
        request_id=problem.group_key,
        prompt_token_ids=prompt_token_ids,
        seeds=sampling_seeds(1, problem.group_key, num=NUM_SAMPLES),
        max_tokens=config.policy.max_response_tokens,
        temperature=config.policy.temperature,
    )


def batch_of(groups: Groups, *, config: Config, pad_token_id: int) -> TrainBatch:
    """Give every other sample a positive and the rest a negative advantage, so that the gradient is not zero."""
    samples = [
        TrainSample(
            group_id=request.request_id,
            prompt_token_ids=request.prompt_token_ids,
            response_token_ids=rollout.token_ids,
            sampling_logprobs=rollout.logprobs,
            advantages=(1.0 if index % 2 else -1.0,) * len(rollout.token_ids),
            policy_version=rollout.policy_version,
        )
        for request, rollouts in groups
        for index, rollout in enumerate(rollouts)
    ]
    return pack(
        samples,
        num_ranks=config.learner.num_ranks,
        row_tokens=config.row_tokens,
        pad_token_id=pad_token_id,
        policy_version=samples[0].policy_version,
        weighting=LossWeighting(aggregation="token", max_response_tokens=config.policy.max_response_tokens),
    )


def test_a_worker_without_the_learners_weights_refuses_to_sample(played: Played) -> None:
    assert isinstance(played.before_any_push, StaleEngine)


def test_a_worker_that_was_started_between_two_pushes_is_given_the_weights_of_now(played: Played) -> None:
    assert played.replaced == played.learner_checksums[2]


def test_every_worker_holds_exactly_the_learners_weights_after_every_push(played: Played) -> None:
    for learner, workers in zip(played.learner_checksums, played.worker_checksums, strict=True):
        assert len(workers) == 2
        for worker in workers:
            assert worker == learner


def test_every_optimiser_step_changed_what_was_pushed(played: Played) -> None:
    before, after, later = played.learner_checksums
    for one, other in ((before, after), (after, later)):
        changed = [name for name in one if one[name] != other[name]]
        assert len(changed) >= len(one) / 2  # while B is 0, A has no gradient


def test_the_first_push_brings_the_model_as_it_lies_on_disk(played: Played, tiny_models: TinyModels) -> None:
    if not played.has_adapters:
        assert played.learner_checksums[0] == checksums_of(tiny_models.policy)
        return
    before, after, _ = played.learner_checksums
    assert all(".lora_" in name for name in before)
    assert {name for name in before if before[name] != after[name]} == {name for name in before if ".lora_B." in name}


def test_the_export_is_what_the_workers_sampled_from(played: Played, tiny_models: TinyModels) -> None:
    exported = checksums_of(played.exported)
    if not played.has_adapters:
        assert exported == played.worker_checksums[1][0]
        return
    base = checksums_of(tiny_models.policy)
    adapted = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in played.worker_checksums[1][0]}
    assert {name for name in base if exported[name] != base[name]} == {f"{layer}.weight" for layer in adapted}


def test_pushes_are_reported_and_stamped_with_their_version(played: Played) -> None:
    assert [push.policy_version for push in played.pushes] == [0, 1, 2]
    assert all(push.num_workers == 2 and push.attempts == 1 and not push.missed for push in played.pushes)
    assert played.worker_versions == [[0, 0], [1, 1], [2, 2]]
    for groups, version in ((played.first_groups, 0), (played.second_groups, 1)):
        assert {rollout.policy_version for _, rollouts in groups for rollout in rollouts} == {version}
    for push, checksums in zip(played.pushes, played.learner_checksums, strict=True):
        assert push.num_tensors == len(checksums)
        assert push.num_bytes == played.pushes[0].num_bytes > 0


def test_learner_and_engine_agree_on_the_same_tokens_after_a_push_that_followed_a_step(played: Played) -> None:
    assert played.first_distance < CLOSE
    assert played.fresh_distance < CLOSE
    # The measure can tell: the learner one step later is many times farther from what the engine said.
    assert played.stale_distance > 5 * CLOSE


def test_the_exported_policy_gives_the_engines_log_probabilities_too(played: Played) -> None:
    """Without the learner: plain transformers, sequence by sequence, nothing packed."""
    model = AutoModelForCausalLM.from_pretrained(played.exported, dtype=torch.bfloat16)
    distances = [
        abs(ours - engines)
        for request, rollouts in played.second_groups
        for rollout in rollouts
        for ours, engines in zip(logprobs(model, request, rollout), rollout.logprobs, strict=True)
    ]
    assert len(distances) > 100
    assert sum(distances) / len(distances) < CLOSE


def test_the_same_request_is_drawn_anew_by_the_new_weights(played: Played) -> None:
    """Same seeds, other weights: a worker that had kept its old ones would draw the same tokens."""
    first = [rollout.token_ids for _, rollouts in played.first_groups for rollout in rollouts]
    second = [rollout.token_ids for _, rollouts in played.second_groups for rollout in rollouts]
    assert first != second


@torch.inference_mode()
def logprobs(model: torch.nn.Module, request: SamplingRequest, rollout: Rollout) -> list[float]:
    """Return the response tokens' log-probabilities at temperature 1; position t's logits are about token t + 1."""
    tokens = torch.tensor([[*request.prompt_token_ids, *rollout.token_ids]])
    logits = model(tokens).logits[0, len(request.prompt_token_ids) - 1 : -1].float()
    drawn = torch.tensor(rollout.token_ids)[:, None]
    return logits.log_softmax(-1).gather(1, drawn)[:, 0].tolist()


def checksums_of(folder: Path) -> Checksums:
    """Return the checksums of the tensors in a model folder's one weight file, by name."""
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {name: tensor_checksum(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
