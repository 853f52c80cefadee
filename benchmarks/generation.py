"""Tokens per second of a policy worker, beside a bare LLM.generate on the same prompts.

The worker is asked through the driver's fleet, as in a run: its time goes from the first request to the last group's
arrival, Ray included; every sample has its own seed, and its group comes back as soon as it is finished. The bare side
is timed inside its own actor: one LLM.generate with n samples a prompt and no seeds, in one process, with the same
model, dtype, context, cache and threads. Both return each drawn token's log-probability, as learning needs it.
"""

import asyncio
import os
from collections.abc import Sequence

import ray

from actors.engine import EngineWorker
from actors.fleets.engines import EnginePool
from actors.fleets.supervisor import Supervisor
from actors.learner import policy_receivers
from actors.remote.calls import ready
from actors.remote.process import ProcessInfo, this_process
from actors.weight_sync.sender import BucketSender, PushOrder
from benchmarks.folder_weights import FolderWeights
from benchmarks.measure import Comparison, Round, Side, Sizes, interleaved, timed
from benchmarks.reserve import reserved
from benchmarks.workload import Prompts
from cluster.launch import start_actor
from cluster.team import weight_backend
from contracts.config.run import PolicyConfig
from contracts.rollouts import SamplingRequest


@ray.remote
class BareGenerator:
    """What one would write without this project."""

    def __init__(self, config: PolicyConfig, device: str, threads: int) -> None:
        on_cpu = device == "cpu"
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        os.environ["VLLM_LOGGING_LEVEL"] = "WARNING"
        import torch
        from vllm import LLM

        if on_cpu:
            torch.set_num_threads(threads)
            torch.cpu._init_amx()  # vLLM dies of an illegal instruction where nothing has asked for AMX before
        self._llm = LLM(
            model=config.model,
            trust_remote_code=config.trust_remote_code,
            dtype=config.dtype,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_num_seqs,
            gpu_memory_utilization=config.gpu_memory_utilization,
            kv_cache_memory_bytes=int(config.kv_cache_gib * 2**30) if on_cpu else None,
            distributed_executor_backend="uni",
            enforce_eager=on_cpu,
            generation_config="vllm",
        )

    def ready(self) -> ProcessInfo:
        return this_process()

    def generate(self, requests: Sequence[SamplingRequest]) -> Round:
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


def run(sizes: Sizes) -> list[Comparison]:
    config = sizes.config
    policy = config.policy.model_copy(update={"num_cpus": sizes.threads})  # the engine counts its threads by it
    prompts = Prompts(sizes)
    with reserved(config, ("policy", "policy"), threads=sizes.threads) as bundles, asyncio.Runner() as runner:
        ours_at, bare_at = bundles.layout.placements
        device = bundles.layout.device
        backend = weight_backend(config.weights, device)
        worker = start_actor(EngineWorker, ours_at, bundles, (policy, device, backend))
        bare = start_actor(BareGenerator, bare_at, bundles, (policy, device, sizes.threads))
        processes = runner.run(ready([ours_at.name, bare_at.name], [worker, bare]))
        # A policy worker serves nothing before it has received weights: here those of its own model.
        receivers = policy_receivers({ours_at.name: worker}, timeout_s=config.weights.timeout_s)
        weights = BucketSender(FolderWeights(policy.model, bucket_bytes=config.weights.bucket_mib << 20))
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
            ours="policy worker: step loop, a seed a sample, groups streamed through Ray",
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
