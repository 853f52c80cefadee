"""Seconds of one learner step, and where they go: real ZeRO-3 ranks in processes of their own, without Ray.

    python -m benchmarks.learner MODEL_FOLDER [--ranks 2] [--sequences 32] [--prompt-tokens 120] [--response-tokens 180]
        [--group-size 4] [--beside-unshared]

Owns the made-up batch and the table. The tokens are random: only their number matters to the time. With a group size,
so many sequences have a prompt in common, which is computed once; "beside unshared" takes every second step on rows
that repeat it, in the same processes.
"""

import argparse
import json
import multiprocessing
import os
import socket
import time
from pathlib import Path

import numpy as np
from torch.profiler import profile

from actors.learning.rank import LearnerRank
from actors.learning.rank_setup import PolicySource, RankPlace, RankSetup
from contracts.batches import TrainBatch, TrainSample
from contracts.config.learning import AlgorithmConfig, CriticConfig, LearnerConfig
from driver.learning.batching import LossWeighting, pack, packing_efficiency, shared_fraction

# Busy is the processor time of the rank: what is left of the clock's time on a machine that others use too.
_TIMES = ("forward_s", "backward_s", "optimizer_s", "step_s", "busy_s", "gather_s")


def main() -> None:
    arguments = _arguments()
    config = LearnerConfig(
        num_ranks=arguments.ranks,
        row_tokens=arguments.row_tokens,
        dtype=arguments.dtype,
        logprob_chunk_tokens=arguments.chunk_tokens,
        gradient_checkpointing=arguments.checkpointing,
    )
    batches = [_batch(arguments, share_prompts=True)]
    if arguments.beside_unshared:
        batches.append(_batch(arguments, share_prompts=False))
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    processes = multiprocessing.get_context("spawn")
    results = processes.SimpleQueue()
    port = _free_port()
    workers = [
        processes.Process(target=_run_rank, args=(rank, port, config, batches, arguments, results))
        for rank in range(arguments.ranks)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed := [rank for rank, worker in enumerate(workers) if worker.exitcode]:
        raise SystemExit(f"ranks {failed} failed; their errors are above")
    for batch, steps in zip(batches, results.get(), strict=True):
        _show(steps, batch, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a Hugging Face folder")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=120)
    parser.add_argument("--response-tokens", type=int, default=180, help="the mean; lengths vary by a third")
    parser.add_argument("--row-tokens", type=int, default=1024)
    parser.add_argument("--chunk-tokens", type=int, default=256)
    parser.add_argument("--group-size", type=int, default=1, help="sequences with the same prompt (%(default)s)")
    parser.add_argument("--beside-unshared", action="store_true", help="measure rows that repeat prompts too, in turn")
    parser.add_argument("--steps", type=int, default=4, help="the first is shown, and left out of the mean")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--profile", action="store_true", help="rank 0 prints its costliest operators")
    return parser.parse_args()


def _batch(arguments: argparse.Namespace, *, share_prompts: bool) -> TrainBatch:
    random = np.random.default_rng(1)
    samples = []
    prompt: tuple[int, ...] = ()
    for index in range(arguments.sequences):
        num_response = int(arguments.response_tokens * random.uniform(2 / 3, 4 / 3))
        if index % arguments.group_size == 0:
            prompt = tuple(random.integers(0, 300, arguments.prompt_tokens).tolist())
        samples.append(
            TrainSample(
                group_id=f"benchmark/{index // arguments.group_size}",
                prompt_token_ids=prompt,
                response_token_ids=tuple(random.integers(0, 300, num_response).tolist()),
                sampling_logprobs=(-6.0,) * num_response,
                advantages=(float(random.normal()),) * num_response,
                policy_version=0,
            )
        )
    return pack(
        samples,
        num_ranks=arguments.ranks,
        row_tokens=arguments.row_tokens,
        pad_token_id=0,
        policy_version=0,
        weighting=LossWeighting(aggregation="token", max_response_tokens=arguments.row_tokens),
        share_prompts=share_prompts,
    )


def _run_rank(
    rank: int,
    port: int,
    config: LearnerConfig,
    batches: list[TrainBatch],
    arguments: argparse.Namespace,
    results: "multiprocessing.SimpleQueue[list[list[dict[str, float]]]]",
) -> None:
    learner = LearnerRank(
        RankSetup(
            learner=config,
            algorithm=AlgorithmConfig(steps=arguments.steps),
            critic=CriticConfig(),
            policy=PolicySource(model=str(arguments.model), temperature=1.0),
            total_optimizer_steps=arguments.steps,
            bucket_bytes=128 * 2**20,
            seed=1,
        ),
        RankPlace(
            rank=rank,
            world_size=config.num_ranks,
            master_address="127.0.0.1",
            master_port=port,
            device=arguments.device,
        ),
    )
    steps: list[list[dict[str, float]]] = [[] for _ in batches]
    for number in range(arguments.steps):
        for batch, of_batch in list(zip(batches, steps, strict=True))[:: 1 if number % 2 else -1]:
            of_batch.append(_step(learner, rank, batch))
    if arguments.profile:
        with profile() as recorded:
            _step(learner, rank, batches[0])
        if rank == 0:
            print(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=60))
    if rank == 0:
        results.put(steps)
    learner.close()


def _step(learner: LearnerRank, rank: int, batch: TrainBatch) -> dict[str, float]:
    busy_before = time.process_time()
    report = learner.step(batch.rows[rank], num_loss_tokens=batch.num_loss_tokens, num_sequences=batch.num_sequences)
    busy = time.process_time() - busy_before
    started = time.monotonic()
    for _ in learner.weights.buckets():
        pass
    times = {name.removeprefix("learner/"): value for name, value in report.metrics.items() if name.endswith("_s")}
    return times | {"step_s": report.seconds, "busy_s": busy, "gather_s": time.monotonic() - started}


def _show(steps: list[dict[str, float]], batch: TrainBatch, arguments: argparse.Namespace) -> None:
    print(" ".join(f"{name:>12}" for name in ("step", *_TIMES)))
    for index, times in enumerate(steps):
        print(" ".join([f"{index + 1:>12}", *(f"{times[name]:>12.2f}" for name in _TIMES)]))
    warm = steps[1:] or steps
    num_tokens = sum(row.num_sequence_tokens for rows in batch.rows for row in rows)
    mean = {name: round(float(np.mean([times[name] for times in warm])), 3) for name in _TIMES}
    summary = {
        "model": arguments.model.name,
        "ranks": arguments.ranks,
        "tokens": num_tokens,
        "loss_tokens": batch.num_loss_tokens,
        "micro_batches": len(batch.rows[0]),
        "packing_efficiency": round(packing_efficiency(batch), 3),
        "shared_fraction": round(shared_fraction(batch), 3),
        **mean,
        "tokens_per_s": round(num_tokens / mean["step_s"], 1),
    }
    print(json.dumps(summary))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
