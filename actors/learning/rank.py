"""One DeepSpeed ZeRO-3 rank of the learner: loads the policy, takes optimiser steps, gives its weights away.

Owns the process group, the engine and the order of events in a step. Must not know Ray, the driver or how its rows were
packed. All ranks call the same methods in the same order; whatever can fail on one rank is agreed on by all before it
is raised, so that none is left waiting in a collective.
"""

import math
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from actors.learning.logprobs import HeadSettings
from actors.learning.loss import Clipping, TokenTotals, TokenValues, policy_loss
from actors.learning.policy_model import PolicyModel, load_causal_model, load_model_config, num_parameter_bytes
from actors.learning.zero_config import GatherLimits, zero_settings
from driver.config import AlgorithmConfig, LearnerConfig
from driver.errors import RunFailed
from driver.schema import PackedRow, StepReport


@dataclass(frozen=True, kw_only=True, slots=True)
class RankPlace:
    """Where a rank stands among the others."""

    rank: int
    world_size: int
    master_address: str
    master_port: int
    device: str  # "cpu" or "cuda": the one GPU that this process sees


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySource:
    """The model that is trained, and how its responses were drawn."""

    model: str  # a Hugging Face name or a local folder
    temperature: float
    trust_remote_code: bool = False
    vocab_size: int | None = None  # tokens that the engine can draw, where the head has more rows


class LearnerRank:
    """A rank that is ready to step: constructing it joins the others, which must be constructed at the same time."""

    def __init__(
        self,
        config: LearnerConfig,
        *,
        policy: PolicySource,
        algorithm: AlgorithmConfig,
        place: RankPlace,
        limits: GatherLimits,
        seed: int,
    ) -> None:
        _join(place, timeout_s=config.timeout_s)
        # DeepSpeed looks for its accelerator when it is imported, which must come after _join has named it.
        import deepspeed
        from transformers.integrations.deepspeed import HfDeepSpeedConfig

        from actors.learning.weight_source import ZeroWeightSource

        torch.manual_seed(seed)
        dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[config.dtype]
        model_config = load_model_config(policy.model, trust_remote_code=policy.trust_remote_code)
        num_bytes = num_parameter_bytes(model_config, dtype)
        settings = zero_settings(config, limits, num_parameter_bytes=num_bytes, device=place.device)
        # While this object lives, from_pretrained shards every parameter as soon as it is loaded.
        self._sharded_loading = HfDeepSpeedConfig(settings)
        causal = load_causal_model(
            policy.model,
            dtype=dtype,
            device=place.device,
            gradient_checkpointing=config.gradient_checkpointing,
            trust_remote_code=policy.trust_remote_code,
        )
        head = HeadSettings(
            temperature=policy.temperature, chunk_tokens=config.logprob_chunk_tokens, vocab_size=policy.vocab_size
        )
        model = PolicyModel(causal, head)
        self._engine, *_ = deepspeed.initialize(
            model=model,
            config=settings,
            # Annotated for schedulers of an older torch.
            lr_scheduler=lambda optimizer: _warmup(optimizer, config.warmup_steps),  # pyright: ignore[reportArgumentType]
        )
        self.weights = ZeroWeightSource(
            causal, model=policy.model, rank=place.rank, max_bucket_bytes=limits.bucket_bytes
        )
        self._bounds = Clipping(
            clip_low=algorithm.clip_low, clip_high=algorithm.clip_high, importance_cap=algorithm.importance_cap
        )
        self._device = torch.device(place.device)
        self._world_size = place.world_size
        # gloo takes about a second to reduce 100 million gradients. A model that is whole on every rank has room for
        # its gradients too, which then add up over the micro-batches before they are sent.
        self._reduces_once = place.device == "cpu" and limits.keep_whole(num_bytes)

    def step(self, rows: Sequence[PackedRow], *, num_loss_tokens: int, num_sequences: int) -> StepReport:
        """One optimiser step from this rank's rows; the gradient is that of sum(token losses) / num_loss_tokens.

        Both counts are of the whole batch, over all ranks. The report is the same on every rank.
        """
        started = time.monotonic()
        number = self._engine.global_steps + 1
        totals = TokenTotals.nothing(self._device)
        forward_s = 0.0
        with self._engine.coalesce_grad_reduction() if self._reduces_once else nullcontext():
            for index, row in enumerate(rows):
                self._engine.set_gradient_accumulation_boundary(index == len(rows) - 1)
                forward_started = time.monotonic()
                loss, of_row = self._row_loss(row)
                forward_s += time.monotonic() - forward_started
                # DeepSpeed averages over the ranks, and the batch's one normaliser already covers all of them.
                self._engine.backward(loss * (self._world_size / num_loss_tokens))
                totals = totals.merged(of_row)
        metrics = dict(self._over_ranks(totals).per_token(num_loss_tokens))
        _refuse_if_not_finite(metrics["policy/loss"], what="loss", step=number)
        computed = time.monotonic()

        metrics["policy/learning_rate"] = self._engine.get_lr()[0]
        self._engine.step()
        metrics["policy/grad_norm"] = self._grad_norm()
        _refuse_if_not_finite(metrics["policy/grad_norm"], what="gradient", step=number)
        num_tokens = self._sum_over_ranks(sum(int((row.sequence_ids >= 0).sum()) for row in rows))
        metrics |= {
            "learner/forward_s": forward_s,
            "learner/backward_s": computed - started - forward_s,
            "learner/optimizer_s": time.monotonic() - computed,
            "learner/micro_batches": float(len(rows)),
            "learner/sequences": float(num_sequences),
        }
        return StepReport(metrics=metrics, num_tokens=num_tokens, seconds=time.monotonic() - started)

    def export(self, folder: Path) -> None:
        """Write the weights as a Hugging Face folder; every rank calls it, rank 0 writes."""
        self.weights.export(folder)
        dist.barrier()

    def close(self) -> None:
        """Leave the process group."""
        self._engine.destroy()
        dist.destroy_process_group()

    def _row_loss(self, row: PackedRow) -> tuple[torch.Tensor, TokenTotals]:
        """The row's summed token losses. On-policy: the old log-probabilities are the ones just computed."""
        positions = torch.tensor(row.loss_mask.nonzero()[0], device=self._device)
        logprobs, entropy = self._engine(
            torch.tensor(row.token_ids[None], device=self._device),
            torch.tensor(row.position_ids[None], device=self._device),
            positions,
        )
        tokens = TokenValues(
            logprobs=logprobs,
            old_logprobs=logprobs.detach(),
            sampling_logprobs=torch.tensor(row.sampling_logprobs, device=self._device)[positions],
            advantages=torch.tensor(row.advantages, device=self._device)[positions],
            entropy=entropy,
        )
        return policy_loss(tokens, self._bounds)

    def _over_ranks(self, totals: TokenTotals) -> TokenTotals:
        sums, maxima = totals.sums.clone(), totals.maxima.clone()
        dist.all_reduce(sums)
        dist.all_reduce(maxima, op=dist.ReduceOp.MAX)
        return TokenTotals(sums, maxima)

    def _sum_over_ranks(self, value: int) -> int:
        total = torch.tensor([value], dtype=torch.int64, device=self._device)
        dist.all_reduce(total)
        return int(total.item())

    def _grad_norm(self) -> float:
        """Of the step just taken, before clipping, over all ranks; infinite where DeepSpeed refused to take it."""
        return float(self._engine.get_global_grad_norm() or 0.0) if self._engine.was_step_applied() else math.inf


def _refuse_if_not_finite(value: float, *, what: str, step: int) -> None:
    """All ranks see the same value, so all of them stop. The weights are still those of the step before."""
    if not math.isfinite(value):
        raise RunFailed(
            f"the learner's {what} is not finite in optimiser step {step}: nothing was learned from this batch; lower "
            "learner.learning_rate, or set learner.dtype to float32"
        )


def _join(place: RankPlace, *, timeout_s: float) -> None:
    """Meet the other ranks, under DeepSpeed's accelerator of this device."""
    os.environ["DS_ACCELERATOR"] = place.device
    os.environ["RANK"], os.environ["WORLD_SIZE"] = str(place.rank), str(place.world_size)
    os.environ["LOCAL_RANK"] = "0"  # the process sees one GPU at most
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = place.master_address, str(place.master_port)

    import deepspeed
    import deepspeed.ops

    if place.device == "cpu":
        # A shared-memory operator that would be compiled at the first start; gloo serves all that ZeRO-3 asks for.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(
        dist_backend="gloo" if place.device == "cpu" else "nccl",
        timeout=timedelta(seconds=timeout_s),
        auto_mpi_discovery=False,
        rank=place.rank,
        world_size=place.world_size,
        verbose=False,
    )


def _warmup(optimizer: Optimizer, warmup_steps: int) -> LambdaLR:
    """Linear over the first `warmup_steps` steps, whose last one has the full rate; constant after that."""
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, warmup_steps)))
