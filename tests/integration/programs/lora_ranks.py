"""Run learner ranks with adapters, each in a process of its own, and keep what they did."""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from contracts.batches import PackedRow, Segment, TokenMeasures
from contracts.config.learning import CriticConfig, GrpoConfig, LearnerConfig
from tests.models.tiny import PROMPT

NUM_STEPS = 3
RANK, ALPHA = 4, 8.0
BUCKET_BYTES = 2_000_000
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
RESPONSE_TOKENS = 24

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Describe one learner: what its ranks are asked to do."""

    model: Path
    num_ranks: int
    keep_whole_mib: int
    gradient_checkpointing: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what rank 0 saw; the measures are those of its own row."""

    num_whole: int  # parameters that this rank held completely between two steps
    weights_before: Weights
    weights_after: Weights
    metadata: list[tuple[str, torch.dtype, tuple[int, ...]]]
    bucket_names: list[list[str]]
    pushed: Weights  # the adapters after the last step, as the engines get them
    pushed_metadata: list[tuple[str, torch.dtype, tuple[int, ...]]]
    held: Weights  # every parameter that the model really has after the last step, by its own name
    measured_before: TokenMeasures
    measured_after: TokenMeasures
    losses: list[float]
    exported: Path


def start(job: Job, folder: Path) -> Sequence[BaseProcess]:
    processes = multiprocessing.get_context("spawn")
    folder.mkdir()
    ranks = [processes.Process(target=run_rank, args=(job, rank, folder)) for rank in range(job.num_ranks)]
    for process in ranks:
        process.start()
    return ranks


def finish(ranks: Sequence[BaseProcess], folder: Path) -> Outcome:
    for process in ranks:
        process.join()
    assert [process.exitcode for process in ranks] == [0] * len(ranks)
    return torch.load(folder / "outcome.pt", weights_only=False)


def a_row(rank: int) -> PackedRow:
    """Return one response to PROMPT, with engine log-probabilities as if all tokens had been equally likely."""
    random = np.random.default_rng(rank)
    token_ids = np.array([*PROMPT, *random.integers(3, 300, RESPONSE_TOKENS)], dtype=np.int64)
    loss_mask = np.arange(len(token_ids)) >= len(PROMPT)
    nothing = np.zeros(0, dtype=np.float32)
    return PackedRow(
        token_ids=token_ids,
        position_ids=np.arange(len(token_ids)),
        segments=(Segment(len(token_ids)),),
        loss_mask=loss_mask,
        loss_weights=np.where(loss_mask, 0.01, 0).astype(np.float32),
        sampling_logprobs=np.where(loss_mask, -6.2, 0).astype(np.float32),
        advantages=np.where(loss_mask, 1.0, 0).astype(np.float32),
        sequence_ids=np.full(len(token_ids), rank, dtype=np.int64),
        old_logprobs=nothing,
        reference_logprobs=nothing,
        returns=nothing,
        old_values=nothing,
    )


def run_rank(job: Job, rank: int, folder: Path) -> None:
    """Run one rank; rank 0 writes its outcome into `folder`."""
    from actors.learning.rank import LearnerRank
    from actors.learning.rank_setup import PolicySource, RankPlace, RankSetup

    torch.set_num_threads(1)
    learner = LearnerRank(
        RankSetup(
            learner=LearnerConfig.model_validate(
                {
                    "num_ranks": job.num_ranks,
                    "learning_rate": 0.01,
                    "dtype": "float32",
                    "keep_whole_mib": job.keep_whole_mib,
                    "gradient_checkpointing": job.gradient_checkpointing,
                    "timeout_s": 120,
                    "logprob_chunk_tokens": 16,
                    "lora": {"rank": RANK, "alpha": ALPHA, "dropout": 0.1},
                }
            ),
            # "reward": a reference model is there to be measured with, and rows need not bring its log-probabilities.
            algorithm=GrpoConfig(steps=NUM_STEPS, kl="reward"),
            critic=CriticConfig(),
            policy=PolicySource(model=str(job.model), temperature=1.0, chat_template=CHAT_TEMPLATE),
            total_optimizer_steps=NUM_STEPS,
            bucket_bytes=BUCKET_BYTES,
            pushes_adapters=True,
            seed=1,
        ),
        RankPlace(rank=rank, world_size=job.num_ranks, meeting=str(folder / "meeting"), device="cpu"),
    )
    row = a_row(rank)
    before = dict(pair for bucket in learner.weights.buckets() for pair in bucket)
    ((_, measured_before),) = learner.measure([row])
    num_tokens = RESPONSE_TOKENS * job.num_ranks
    reports = [learner.step([row], num_loss_tokens=num_tokens, num_sequences=job.num_ranks) for _ in range(NUM_STEPS)]
    ((_, measured_after),) = learner.measure([row])
    num_whole, held = held_by(learner._models.causal)
    buckets = list(learner.weights.buckets())
    adapters = list(learner.pushed.buckets())
    learner.export(folder / "exported")
    if rank == 0:
        outcome = Outcome(
            num_whole=num_whole,
            weights_before=before,
            weights_after=dict(pair for bucket in buckets for pair in bucket),
            metadata=learner.weights.metadata(),
            bucket_names=[[name for name, _ in bucket] for bucket in buckets],
            pushed=dict(pair for bucket in adapters for pair in bucket),
            pushed_metadata=learner.pushed.metadata(),
            held=held,
            measured_before=measured_before,
            measured_after=measured_after,
            losses=[report.metrics["policy/loss"] for report in reports],
            exported=folder / "exported",
        )
        torch.save(outcome, folder / "outcome.pt")
    else:
        assert before == {}
        assert buckets == [[]] * len(buckets)
        assert adapters == [[]] * len(adapters)
    learner.close()


def held_by(causal: PreTrainedModel) -> tuple[int, Weights]:
    """Return the number of parameters that are whole on this rank, and all values, adapters too. A collective."""
    import deepspeed
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    parameters = dict(causal.named_parameters())
    missing = [each for each in parameters.values() if each.ds_status != ZeroParamStatus.AVAILABLE]  # pyright: ignore[reportAttributeAccessIssue]
    with deepspeed.zero.GatheredParameters(missing):
        return len(parameters) - len(missing), {name: each.detach().clone() for name, each in parameters.items()}
