"""Measure the tokens per second of a policy worker, beside a bare LLM.generate on the same prompts.

The worker is asked through the driver's fleet, as in a run: its time goes from the first request to the arrival of the
last group, Ray included. Every sample has its own seed, and its group is returned as soon as it is finished. The bare
side is timed inside its own actor: one LLM.generate in one process with n samples a prompt and no seeds, with the same
model, dtype, context, cache and threads. Both return the log-probability of each drawn token, as learning needs it.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import ray
import torch
from safetensors import safe_open

from actors.engine import EngineWorker
from actors.fleets.engines import EnginePool
from actors.fleets.supervisor import Supervisor
from actors.learner import policy_receivers
from actors.remote.calls import ready
from actors.remote.process import ProcessInfo, this_process
from actors.weight_sync.sender import BucketSender, PushOrder
from benchmarks.measure import Round, Side, Sizes, interleaved, timed
from benchmarks.outcomes import Comparison
from benchmarks.start import reserved
from cluster.launch import start_actor
from contracts.config.section import decided
from contracts.config.workers import PolicyConfig
from contracts.rollouts import PromptDraw, SamplingRequest
from contracts.seeds import sampling_seeds
from driver.inputs import prepare_training
from driver.problems.stream import first_draws


@ray.remote
class BareGenerator:
    """Generate with vLLM alone, as one would without this project."""

    def __init__(self, config: PolicyConfig, device: str, threads: int) -> None:
        on_cpu = device == "cpu"
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        os.environ["VLLM_LOGGING_LEVEL"] = "WARNING"
        from vllm import LLM

        if on_cpu:
            torch.set_num_threads(threads)
            torch.cpu._init_amx()  # without it vLLM ends with an illegal instruction
        self._llm = LLM(
            model=config.model,
            trust_remote_code=config.trust_remote_code,
            dtype=config.dtype,
            max_model_len=config.max_model_len,
            max_num_seqs=decided(config.max_num_seqs),
            gpu_memory_utilization=config.gpu_memory_utilization,
            kv_cache_memory_bytes=int(config.kv_cache_gib * 2**30) if on_cpu else None,
            distributed_executor_backend="uni",
            enforce_eager=on_cpu,
            generation_config="vllm",
        )

    def ready(self) -> ProcessInfo:
        """Return this process, once the model is loaded."""
        return this_process()

    def generate(self, requests: Sequence[SamplingRequest]) -> Round:
        """Generate all samples of the requests in one call, and time it."""
        from vllm import SamplingParams, TokensPrompt

        prompts = [TokensPrompt(prompt_token_ids=list(request.prompt_token_ids)) for request in requests]
        params = SamplingParams(
            n=requests[0].num_samples,
            temperature=requests[0].temperature,
            max_tokens=requests[0].max_tokens,
            logprobs=0,
        )

        def generate() -> float:
            outputs = self._llm.generate(prompts, params, use_tqdm=False)
            return float(sum(len(sample.token_ids) for output in outputs for sample in output.outputs))

        return timed(generate)


class FolderWeights:
    """Send the tensors of a model folder as a learner sends its weights, one tensor in a bucket."""

    def __init__(self, folder: str) -> None:
        self._tensors: dict[str, torch.Tensor] = {}
        for file in sorted(Path(folder).glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                self._tensors |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        if not self._tensors:
            raise ValueError(f"{folder} holds no *.safetensors; this benchmark needs a model in a local folder")

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        """Return name, dtype and shape of each tensor."""
        return [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in self._tensors.items()]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        """Yield the buckets."""
        yield from ([(name, tensor)] for name, tensor in self._tensors.items())


class Prompts:
    """Make the requests of each round from the prompts that a run with this config would draw, in its order."""

    def __init__(self, sizes: Sizes) -> None:
        evaluation = sizes.config.evaluation.model_copy(update={"before": False, "after": False})
        self._sizes = sizes
        self._inputs = prepare_training(sizes.config.model_copy(update={"evaluation": evaluation}))
        self._drawn: list[PromptDraw] = []

    def requests(self, number: int) -> list[SamplingRequest]:
        """Return the requests of one round. Every round has other problems, so no cache knows them."""
        sizes = self._sizes
        return [
            SamplingRequest(
                request_id=f"benchmark/{number}/{index}",
                prompt_token_ids=self._prompt(number * sizes.groups + index),
                seeds=sampling_seeds(sizes.config.run.seed, "benchmark", number, index, num=sizes.group_size),
                max_tokens=sizes.config.policy.max_response_tokens,
                temperature=sizes.config.policy.temperature,
            )
            for index in range(sizes.groups)
        ]

    def _prompt(self, position: int) -> tuple[int, ...]:
        self._drawn += first_draws(self._inputs.stream, position + 1 - len(self._drawn))
        return self._inputs.evaluation.prompter.prompt_token_ids(self._drawn[position].problem)


def run(sizes: Sizes) -> list[Comparison]:
    """Measure both sides in turn."""
    config = sizes.config
    policy = config.policy.model_copy(update={"num_cpus": sizes.threads})  # from which the engine takes its threads
    prompts = Prompts(sizes)
    with reserved(config, ("policy", "policy"), threads=sizes.threads) as bundles, asyncio.Runner() as runner:
        ours_at, bare_at = bundles.layout.placements
        device = bundles.layout.device
        worker = start_actor(EngineWorker, ours_at, bundles, (policy, device, "object_store"))
        bare = start_actor(BareGenerator, bare_at, bundles, (policy, device, sizes.threads))
        processes = runner.run(ready([ours_at.name, bare_at.name], [worker, bare]))
        # A policy worker answers nothing before it has received weights: here those of its own model.
        receivers = policy_receivers({ours_at.name: worker}, timeout_s=config.weights.timeout_s)
        weights = BucketSender(FolderWeights(policy.model))
        manifest = weights.send(PushOrder(policy_version=0, update=(0, 1), names=(ours_at.name,)), receivers)
        if missed := receivers.outcome(manifest).missed:
            raise RuntimeError(f"the worker took no weights: {missed}")
        fleet = EnginePool(Supervisor.of_loaded("policy", [worker]))

        def ours(number: int) -> Round:
            requests = prompts.requests(number)
            return timed(lambda: runner.run(_sample(fleet, requests)))

        def alone(number: int) -> Round:
            return ray.get(bare.generate.remote(prompts.requests(number)))

        our_rounds, bare_rounds = interleaved(
            Side(turn=ours, processes=(os.getpid(), processes[ours_at.name].pid)),
            Side(turn=alone, processes=(processes[bare_at.name].pid,)),
            rounds=sizes.rounds,
        )
    return [
        Comparison(
            name="generation",
            unit="tokens",
            ours="policy worker: step loop, a seed for each sample, groups streamed through Ray",
            bare="LLM.generate(n=group size), unseeded, log-probabilities on",
            aim=0.95,
            our_rounds=our_rounds,
            bare_rounds=bare_rounds,
            work=f"{sizes.groups} prompts x {sizes.group_size} samples of at most {policy.max_response_tokens} tokens; "
            f"{policy.dtype}, threads: {sizes.threads}",
        )
    ]


async def _sample(fleet: EnginePool, requests: Sequence[SamplingRequest]) -> float:
    groups = await asyncio.gather(*(fleet.sample(request) for request in requests))
    return float(sum(len(rollout.token_ids) for group in groups for rollout in group))
