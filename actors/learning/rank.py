"""One DeepSpeed ZeRO-3 rank of the learner: measures responses, takes optimiser steps, gives its weights away.

Owns the order of events in a step, and what all ranks must agree on before any of them changes a weight. Must not know
Ray, the driver or how its rows were packed. All ranks call the same methods in the same order; whatever can fail on one
rank is agreed on by all before it is raised, so that none is left waiting in a collective.
"""

import math
import resource
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from actors.learning.policy_loss import LossSettings
from actors.learning.process_group import join, largest, largest_of, leave, summed
from actors.learning.rank_setup import PolicySource, RankPlace, RankSetup
from actors.learning.rows import NOTHING, CriticLosses, PolicyLosses, by_sequence, measured
from contracts.batches import PackedRow, StepResult, TokenMeasures

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine

    from actors.learning.zero_engine import ZeroEngine

__all__ = ["LearnerRank", "PolicySource", "RankPlace", "RankSetup"]

_LARGEST_SQUARE = torch.finfo(torch.float32).max
"""DeepSpeed adds up a gradient's squares in fp32 where states are offloaded: above this, its norm is infinite."""


@dataclass(frozen=True, slots=True)
class Part:
    """A model that learns from a batch, and the losses of its rows."""

    engine: "ZeroEngine"
    losses: PolicyLosses | CriticLosses


class LearnerRank:
    """A rank that is ready to step: constructing it joins the others, which must be constructed at the same time."""

    def __init__(self, setup: RankSetup, place: RankPlace) -> None:
        join(place, timeout_s=setup.learner.timeout_s)
        # DeepSpeed looks for its accelerator when it is imported, which must come after `join` has named it.
        from actors.learning.rank_models import build_models
        from actors.learning.weight_source import ZeroWeightSource

        torch.manual_seed(setup.seed)
        self._setup, self._place = setup, place
        self._device = torch.device(place.device)
        self._models = build_models(setup, place)
        self._loss = LossSettings.of(setup.algorithm)
        self.weights = ZeroWeightSource(
            self._models.causal,
            model=setup.policy.model,
            rank=place.rank,
            max_bucket_bytes=setup.bucket_bytes,
            trust_remote_code=setup.policy.trust_remote_code,
        )
        torch.manual_seed(setup.seed + place.rank)  # from here on dropout draws for other rows on each rank

    def measure(self, rows: Sequence[PackedRow]) -> list[tuple[int, TokenMeasures]]:
        """What the policy, its reference and the critic say of each sequence in this rank's rows, by its id.

        Nothing is learned, and no random number is drawn. Every rank must have the same number of rows.
        """
        from actors.learning.zero_engine import measuring

        models, device = self._models, self._device
        with measuring(models.policy) as policy:
            logprobs = measured(rows, lambda row: policy(row)[0], device)
        reference = values = [NOTHING] * len(rows)
        if self._setup.has_reference:
            with models.as_reference() as frozen:
                reference = measured(rows, lambda row: frozen(row)[0], device)
        if models.critic is not None:
            with measuring(models.critic) as critic:
                values = measured(rows, critic, device)
        return [
            measures
            for row, *parts in zip(rows, logprobs, reference, values, strict=True)
            for measures in by_sequence(row, logprobs=parts[0], reference=parts[1], values=parts[2])
        ]

    def step(self, rows: Sequence[PackedRow], *, num_loss_tokens: int, num_sequences: int) -> StepResult:
        """One optimiser step from this rank's rows; of the critic too, where the batch has returns.

        The gradient is that of the sum of all ranks' token losses, each times its weight. Both counts are of the whole
        batch. Where a loss or a gradient is not finite on any rank, no rank changes a weight, an optimiser state or a
        learning rate, and the report says so. The report is the same on every rank.
        """
        started = time.monotonic()
        parts = self._parts(rows)
        passes = [part.engine.accumulate(rows, part.losses) for part in parts.values()]
        computed = time.monotonic()
        metrics = {f"{name}/learning_rate": part.engine.learning_rate for name, part in parts.items()}
        is_skipped = not self._all_finite(parts.values())
        for name, part in parts.items():
            metrics |= self._totals(part.losses, num_loss_tokens)
            if is_skipped:
                part.engine.discard()
            else:
                metrics[f"{name}/grad_norm"] = part.engine.step()
        forward_s, backward_s, optimizer_s, seconds, memory_gib = largest_of(
            [
                sum(times.forward_s for times in passes),
                sum(times.backward_s for times in passes),
                time.monotonic() - computed,
                time.monotonic() - started,
                self._memory_gib(),
            ],
            self._device,
        )
        metrics |= {
            "learner/forward_s": forward_s,
            "learner/backward_s": backward_s,
            "learner/optimizer_s": optimizer_s,
            "learner/memory_gib": memory_gib,
            "learner/micro_batches": float(len(rows)),
            "learner/sequences": float(num_sequences),
        }
        return StepResult(
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            num_tokens=self._num_tokens(rows),
            seconds=seconds,
            is_skipped=is_skipped,
            not_finite=self._not_finite(parts.values(), num_sequences) if is_skipped else (),
        )

    def save(self, folder: Path) -> None:
        """Write all that is needed to go on exactly here into an empty folder that every rank reaches.

        Raises:
            CheckpointFailed: on all ranks, where one could not write.
        """
        from actors.learning.shards import save_shards

        save_shards(self._engines(), folder, rank=self._place.rank)

    def load(self, folder: Path) -> None:
        """Go on where `save` wrote, with this number of ranks or another.

        Raises:
            RunFailed: on all ranks, where one could not read.
        """
        from actors.learning.shards import load_shards

        load_shards(self._engines(), folder, rank=self._place.rank, world_size=self._place.world_size)
        for engine in self._models.learning.values():
            engine.follow_schedule()

    def export(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder; every rank calls it, rank 0 writes and is the last to return."""
        self.weights.export(folder, chat_template=self._setup.policy.chat_template)

    def close(self) -> None:
        """Leave the process group."""
        self._models.close()
        leave()

    def _engines(self) -> "dict[str, DeepSpeedEngine]":
        return {name: engine.deepspeed for name, engine in self._models.learning.items()}

    def _parts(self, rows: Sequence[PackedRow]) -> dict[str, Part]:
        """What learns from these rows, by the name that its metrics have."""
        policy, critic = self._models.policy, self._models.critic
        parts = {"policy": Part(policy, PolicyLosses(policy.deepspeed, self._loss, self._device))}
        if critic is not None and self._on_any_rank(any(row.returns.size for row in rows)):
            value_clip = self._setup.critic.value_clip
            parts["critic"] = Part(critic, CriticLosses(critic.deepspeed, value_clip, self._device))
        return parts

    def _all_finite(self, parts: Collection[Part]) -> bool:
        """Whether every loss and every gradient is, on all ranks. The same answer on each."""
        losses = [part.losses.loss for part in parts]
        squares = [part.engine.squared_gradient().to(self._device) for part in parts]
        totals = summed(torch.stack([*losses, *squares]))
        return bool(totals.isfinite().all()) and bool((totals[len(losses) :] <= _LARGEST_SQUARE).all())

    def _totals(self, losses: PolicyLosses | CriticLosses, num_loss_tokens: int) -> Mapping[str, float]:
        """The metrics of all ranks' rows."""
        totals = losses.totals
        return replace(totals, sums=summed(totals.sums), maxima=largest(totals.maxima)).per_token(num_loss_tokens)

    def _not_finite(self, parts: Collection[Part], num_sequences: int) -> tuple[int, ...]:
        """Ids of the sequences, on any rank, with a token whose loss is not finite."""
        is_bad = torch.zeros(num_sequences, dtype=torch.int64, device=self._device)
        for part in parts:
            for sequences in part.losses.not_finite:
                is_bad[sequences] = 1
        return tuple(largest(is_bad).nonzero()[:, 0].tolist())

    def _on_any_rank(self, is_so: bool) -> bool:
        return largest_of([float(is_so)], self._device)[0] > 0

    def _num_tokens(self, rows: Sequence[PackedRow]) -> int:
        counted = sum(row.num_sequence_tokens for row in rows)
        return int(summed(torch.tensor([counted], device=self._device)).item())

    def _memory_gib(self) -> float:
        """The most that this rank has held so far: of the GPU, or of the process."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
