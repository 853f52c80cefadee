"""Drive one DeepSpeed engine around one model: gradients of several rows, one optimiser step or none, forward passes.

This module sets the accumulation boundary, undoes DeepSpeed's mean over ranks, and clears a refused step. All ranks
call the same methods in the same order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import deepspeed
import torch
from deepspeed.runtime.engine import DeepSpeedEngine
from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
from torch import Tensor, nn

from actors.learning.pass_clock import PassClock
from actors.learning.schedule import Schedule, learning_rates
from actors.learning.weight_decay import parameter_groups
from actors.learning.zero_config import Settings

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True, slots=True)
class PassTimes:
    """Hold the seconds that this rank's device took."""

    forward_s: float
    backward_s: float


class FrozenEngine:
    """Run a sharded model that never learns."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.deepspeed: DeepSpeedEngine = deepspeed.initialize(model=model.requires_grad_(False), config=settings)[0]

    def states(self) -> Iterator[Tensor]:
        """Yield all tensors that the engine keeps between two calls."""
        return _weights(self.deepspeed)

    def close(self) -> None:
        """Free the engine."""
        self.deepspeed.destroy()


class ZeroEngine:
    """Train a sharded model: its gradients, fp32 weights, AdamW states and learning rate."""

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        *,
        weight_decay: float,
        schedule: Schedule,
        world_size: int,
        reduces_once: bool,
    ) -> None:
        """Build the engine. With `reduces_once` gradients add up over all rows in the whole model and are sent once."""
        self.deepspeed: DeepSpeedEngine = deepspeed.initialize(
            model=model,
            # DeepSpeed annotates this as a module, but takes a list of parameter groups.
            model_parameters=parameter_groups(model, weight_decay=weight_decay),  # pyright: ignore[reportArgumentType]
            config=settings,
            # DeepSpeed's annotation is for schedulers of an older torch.
            lr_scheduler=lambda optimizer: learning_rates(optimizer, schedule),  # pyright: ignore[reportArgumentType]
        )[0]
        self._world_size = world_size
        self._reduces_once = reduces_once

    @property
    def learning_rate(self) -> float:
        """Return the learning rate of the next optimiser step."""
        return float(self.deepspeed.get_lr()[0])

    def accumulate(self, rows: Sequence[Row], loss_of: Callable[[Row], Tensor]) -> PassTimes:
        """Add up the gradients of each row's loss [] over the rows of all ranks: of their sum, not their mean."""
        assert self.deepspeed.device is not None
        clock = PassClock(torch.device(self.deepspeed.device))
        with ExitStack() as reducing:
            if self._reduces_once:
                reducing.enter_context(self.deepspeed.coalesce_grad_reduction())
            for index, row in enumerate(rows):
                self.deepspeed.set_gradient_accumulation_boundary(index == len(rows) - 1)
                with clock.measuring("forward"):
                    loss = loss_of(row)
                with clock.measuring("backward"):
                    self.deepspeed.backward(loss * self._world_size)  # DeepSpeed averages over the ranks
            with clock.measuring("backward"):
                reducing.close()
        seconds = clock.seconds()
        return PassTimes(forward_s=seconds["forward"], backward_s=seconds["backward"])

    def squared_gradient(self) -> Tensor:
        """Return the sum of squares, fp64 [], of this rank's shard of the accumulated gradients.

        It is not finite if a gradient is not finite.
        """
        total = torch.zeros((), dtype=torch.float64)
        for partitions in self._optimizer.get_fp32_grad_partitions().values():
            for gradient in partitions.values():
                total = total.to(gradient.device) + gradient.flatten().dot(gradient.flatten()).double()
        return total

    def step(self) -> float:
        """Take the optimiser step, and return the norm of the gradient over all ranks, before clipping."""
        self.deepspeed.step()
        assert self.deepspeed.was_step_applied(), "DeepSpeed refused a step whose gradients are finite"
        return float(self.deepspeed.get_global_grad_norm() or 0.0)

    def discard(self) -> None:
        """Drop the accumulated gradients. Weights, optimiser states and learning rate stay unchanged.

        This restarts DeepSpeed's count of micro-batches, so the next backward pass overwrites the gradient shards and
        adds nothing to values that may be NaN.
        """
        self._optimizer.zero_grad(set_to_none=True)

    def states(self) -> Iterator[Tensor]:
        """Yield all tensors that the engine keeps between two calls."""
        yield from _weights(self.deepspeed)
        optimizer = self._optimizer
        yield from (partition for partition in optimizer.fp32_partitioned_groups_flat if partition is not None)
        yield from (bucket.buffer for bucket in optimizer.ipg_buckets.values() if bucket.buffer is not None)
        if optimizer.grad_partitions_flat_buffer is not None:
            yield optimizer.grad_partitions_flat_buffer
        for state in optimizer.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))

    def close(self) -> None:
        """Free the engine."""
        self.deepspeed.destroy()

    @property
    def _optimizer(self) -> DeepSpeedZeroOptimizer_Stage3:
        optimizer = self.deepspeed.optimizer
        assert isinstance(optimizer, DeepSpeedZeroOptimizer_Stage3)
        return optimizer


def _weights(engine: DeepSpeedEngine) -> Iterator[Tensor]:
    """Yield each parameter's shard, and the parameter itself where it is whole."""
    for parameter in engine.parameters():
        yield parameter.data
        if isinstance(shard := getattr(parameter, "ds_tensor", None), Tensor):
            yield shard


@contextmanager
def measuring(engine: FrozenEngine | ZeroEngine) -> Iterator[nn.Module]:
    """Yield the model without gradients and dropout, so without random numbers; afterwards restore its mode."""
    model = engine.deepspeed
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.train(was_training)
