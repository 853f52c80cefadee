"""Run one DeepSpeed ZeRO-3 rank of the learner: measure responses, take optimiser steps, give the weights away.

All ranks call the same methods in the same order. Before a rank changes a weight, or raises an error that only it has,
all ranks agree on it, so that no rank waits in a collective for one that does not come. Must not import Ray.
"""

import math
import resource
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from actors.learning.background_files import BackgroundFiles, Sums, WrittenFiles
from actors.learning.host_states import HostStates
from actors.learning.lora import adapter_tensors
from actors.learning.pass_clock import wait_for
from actors.learning.policy_loss import LossSettings
from actors.learning.process_group import join, largest, largest_of, leave, summed
from actors.learning.rank_setup import PolicySource, RankPlace, RankSetup
from actors.learning.rows import NOTHING, CriticLosses, PolicyLosses, by_sequence, measured
from actors.remote.freed_memory import LARGE_MODEL_BYTES, give_back_freed_memory, large_blocks_apart
from actors.weight_sync.buckets import LearnerWeights
from contracts.batches import PackedRow, StepResult, TokenMeasures
from contracts.errors import CheckpointFailed

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine

    from actors.learning.zero_engine import ZeroEngine

__all__ = ["LearnerRank", "PolicySource", "RankPlace", "RankSetup"]

_KEPT_BYTES = 1 << 30
"""Bytes that the passes of a step have freed and that a rank on a CPU keeps for the next step."""
_LARGEST_SQUARE = torch.finfo(torch.float32).max
"""If states are offloaded, DeepSpeed adds up the squares of a gradient in fp32: above this, its norm is infinite."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """Hold a model that learns from a batch, and the losses of its rows."""

    engine: "ZeroEngine"
    losses: PolicyLosses | CriticLosses


class LearnerRank:
    """Be one rank of the learner. Constructing it joins the others, which must be constructed at the same time."""

    def __init__(self, setup: RankSetup, place: RankPlace) -> None:
        """Join the process group and load the models.

        Raises:
            BadInput: a model can't be trained by the learner.
        """
        join(place, timeout_s=setup.learner.timeout_s)
        # DeepSpeed looks for its accelerator when it is imported, which must come after `join` has named it.
        from actors.learning.rank_models import build_models
        from actors.learning.weight_source import GatheredSource, ZeroWeightSource

        torch.manual_seed(setup.seed)
        self._setup, self._place = setup, place
        self._device = torch.device(place.device)
        self._files = BackgroundFiles()
        with large_blocks_apart():
            self._models = build_models(setup, place)
        self._loss = LossSettings.of(setup.algorithm)
        self.weights = ZeroWeightSource(
            self._models.causal,
            model=setup.policy.model,
            rank=place.rank,
            max_bucket_bytes=setup.bucket_bytes,
            trust_remote_code=setup.policy.trust_remote_code,
            on_every_rank=setup.gives_weights_on_every_rank,
        )
        self.pushed: LearnerWeights = self.weights
        """What the policy workers get."""
        if setup.pushes_adapters:
            adapters = adapter_tensors(self._models.causal)
            self.pushed = GatheredSource(adapters, rank=place.rank, max_bucket_bytes=setup.bucket_bytes)
        num_bytes = sum(math.prod(shape) * dtype.itemsize for _, dtype, shape in self.weights.metadata())
        self._keeps_blocks_apart = place.device == "cpu" and num_bytes >= LARGE_MODEL_BYTES
        self._host_states = HostStates(self._device)
        torch.manual_seed(setup.seed + place.rank)  # from here on each rank draws its own dropout

    def measure(self, rows: Sequence[PackedRow]) -> list[tuple[int, TokenMeasures]]:
        """Return the measures of policy, reference and critic for each sequence in this rank's rows, with its id.

        Nothing is learned, and no random number is drawn. Every rank must have the same number of rows. The ranks that
        split rows must have the same rows; the first of them returns the measures.
        """
        with self._memory_of_passes():
            return self._measured(rows)

    def _measured(self, rows: Sequence[PackedRow]) -> list[tuple[int, TokenMeasures]]:
        from actors.learning.zero_engine import measuring

        models, device = self._models, self._device
        with measuring(models.policy) as policy:
            logprobs = measured(rows, lambda row: models.on_whole_rows(policy)(row)[0], device)
        reference = values = [NOTHING] * len(rows)
        if self._setup.has_reference:
            with models.as_reference() as frozen:
                reference = measured(rows, lambda row: models.on_whole_rows(frozen)(row)[0], device)
        if models.critic is not None:
            with measuring(models.critic) as critic:
                values = measured(rows, models.on_whole_rows(critic), device)
        if not models.leads_group:
            return []
        return [
            measures
            for row, *found in zip(rows, logprobs, reference, values, strict=True)
            for measures in by_sequence(row, logprobs=found[0], reference=found[1], values=found[2])
        ]

    def step(self, rows: Sequence[PackedRow], *, num_loss_tokens: int, num_sequences: int) -> StepResult:
        """Take one optimiser step from this rank's rows; of the critic too if the batch has returns.

        The gradient is that of the sum of all ranks' token losses, each times its weight. `num_loss_tokens` and
        `num_sequences` count the whole batch. If a loss or a gradient is not finite on any rank, no rank changes a
        weight, an optimiser state or a learning rate, and the result says so. It is the same on every rank.
        """
        started = time.monotonic()
        trained = self._trained_models(rows)
        with self._memory_of_passes():
            passes = [model.engine.accumulate(rows, model.losses) for model in trained.values()]
        computed = time.monotonic()
        metrics = {f"{name}/learning_rate": model.engine.learning_rate for name, model in trained.items()}
        is_skipped = not self._all_finite(trained.values())
        wait_s = self._wait_for_files()
        for name, model in trained.items():
            metrics |= self._totals(model.losses, num_loss_tokens)
            if is_skipped:
                model.engine.discard()
            else:
                metrics[f"{name}/grad_norm"] = model.engine.step()
        wait_for(self._device)
        if self._device.type == "cpu":
            give_back_freed_memory(if_above=_KEPT_BYTES)  # else it grows: passes leave gaps that others don't fit into
        forward_s, backward_s, optimizer_s, wait_s, seconds, memory_gib = largest_of(
            [
                sum(times.forward_s for times in passes),
                sum(times.backward_s for times in passes),
                time.monotonic() - computed - wait_s,
                wait_s,
                time.monotonic() - started,
                self._memory_gib(),
            ],
            self._device,
        )
        metrics |= {
            "learner/forward_s": forward_s,
            "learner/backward_s": backward_s,
            "learner/optimizer_s": optimizer_s,
            "learner/checkpoint_wait_s": wait_s,
            "learner/memory_gib": memory_gib,
            "learner/micro_batches": float(len(rows)),
            "learner/sequences": float(num_sequences),
        }
        return StepResult(
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            num_tokens=self._num_tokens(rows),
            seconds=seconds,
            is_skipped=is_skipped,
            not_finite=self._not_finite(trained.values(), num_sequences) if is_skipped else (),
        )

    def save(self, folder: Path, *, policy: Path) -> None:
        """Begin to write the complete state into `folder`, and the policy as a Hugging Face folder into `policy`.

        Every rank calls it, and reaches both folders. Returns when the rank may go on: a thread writes from the rank's
        own tensors, which the next optimiser step changes. That step waits for the end.
        """
        from actors.learning.shards import shard_files, write_files

        self._files.wait()
        place = self._place
        shards = shard_files(self._engines(), folder, rank=place.rank, world_size=place.world_size)
        try:
            with large_blocks_apart():  # a copy of the policy, and what it is merged from
                export = self.weights.begin_export(policy, chat_template=self._setup.policy.chat_template)
        except CheckpointFailed as failure:
            self._files.begin(partial(_fail, failure))
        else:
            self._files.begin(lambda: {**write_files(shards), **export()})

    def saved(self) -> WrittenFiles:
        """Wait until this rank's files are on the disk or have failed; may be called from another thread."""
        written = self._files.written()
        give_back_freed_memory()  # the copy of the policy
        return written

    def load(self, folder: Path) -> None:
        """Load the state that `save` wrote, with the same number of ranks or another.

        Raises:
            RunFailed: a rank could not read; raised on all ranks.
        """
        from actors.learning.shards import load_shards

        self._files.wait()
        load_shards(self._engines(), folder, rank=self._place.rank, world_size=self._place.world_size)

    def export(self, folder: Path) -> Sums:
        """Write the policy as a Hugging Face folder, and return the sums of its weight files (rank 0) or nothing.

        Every rank calls it; rank 0 writes and returns last.

        Raises:
            CheckpointFailed: rank 0 could not write.
        """
        with large_blocks_apart():
            return self.weights.export(folder, chat_template=self._setup.policy.chat_template)

    def sleep(self) -> None:
        """Move all states to host memory, until `wake`: nothing else may be called meanwhile.

        A checkpoint that is being written is finished first: it is written from these states.
        """
        self._files.wait()
        self._host_states.move_out(self._models.states())

    def wake(self) -> None:
        """Move all states back to the device."""
        self._host_states.move_back()

    def close(self) -> None:
        """Finish the files, and leave the process group."""
        self._files.wait()
        self._models.close()
        leave()

    def _memory_of_passes(self) -> AbstractContextManager[None]:
        """Return the context in which forward and backward passes get their memory."""
        return large_blocks_apart() if self._keeps_blocks_apart else nullcontext()

    def _engines(self) -> "dict[str, DeepSpeedEngine]":
        return {name: engine.deepspeed for name, engine in self._models.learning.items()}

    def _trained_models(self, rows: Sequence[PackedRow]) -> dict[str, TrainedModel]:
        """Return the models that learn from these rows, by the name that their metrics have."""
        policy, critic = self._models.policy, self._models.critic
        of_policy = self._models.on_whole_rows(policy.deepspeed)
        trained = {"policy": TrainedModel(policy, PolicyLosses(of_policy, self._loss, self._device))}
        if critic is not None and self._on_any_rank(any(row.returns.size for row in rows)):
            clip = self._setup.critic.value_clip
            of_critic = self._models.on_whole_rows(critic.deepspeed)
            losses = CriticLosses(of_critic, 0.0 if clip == "off" else clip, self._device)
            trained["critic"] = TrainedModel(critic, losses)
        return trained

    def _all_finite(self, trained: Collection[TrainedModel]) -> bool:
        """Return whether every loss and every gradient is finite on all ranks. The answer is the same on each."""
        losses = [model.losses.loss for model in trained]
        squares = [model.engine.squared_gradient().to(self._device) for model in trained]
        totals = summed(torch.stack([*losses, *squares]))
        return bool(totals.isfinite().all()) and bool((totals[len(losses) :] <= _LARGEST_SQUARE).all())

    def _totals(self, losses: PolicyLosses | CriticLosses, num_loss_tokens: int) -> Mapping[str, float]:
        """Return the metrics of all ranks' rows. A row counts once, however many ranks split it."""
        totals = losses.totals if self._models.leads_group else losses.totals.nothing(self._device)
        return replace(totals, sums=summed(totals.sums), maxima=largest(totals.maxima)).per_token(num_loss_tokens)

    def _not_finite(self, trained: Collection[TrainedModel], num_sequences: int) -> tuple[int, ...]:
        """Return the ids of the sequences, on any rank, with a token whose loss is not finite."""
        is_bad = torch.zeros(num_sequences, dtype=torch.int64, device=self._device)
        for model in trained:
            for sequences in model.losses.not_finite:
                is_bad[sequences] = 1
        return tuple(largest(is_bad).nonzero()[:, 0].tolist())

    def _wait_for_files(self) -> float:
        """Wait until no checkpoint is being written: it is written from what an update changes. Return the seconds."""
        started = time.monotonic()
        self._files.wait()
        return time.monotonic() - started

    def _on_any_rank(self, is_so: bool) -> bool:
        return largest_of([float(is_so)], self._device)[0] > 0

    def _num_tokens(self, rows: Sequence[PackedRow]) -> int:
        counted = sum(row.num_sequence_tokens for row in rows) if self._models.leads_group else 0
        return int(summed(torch.tensor([counted], device=self._device)).item())

    def _memory_gib(self) -> float:
        """Return the peak memory of this rank so far, in GiB: of the GPU, or of the process on a CPU."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _fail(failure: CheckpointFailed) -> NoReturn:
    raise failure
