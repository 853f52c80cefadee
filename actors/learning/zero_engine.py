"""One DeepSpeed engine around one model: gradients of several rows, one optimiser step or none, forward passes alone.

Owns how DeepSpeed is driven: the accumulation boundary, the mean over ranks that is undone, what a refused step leaves
behind. Must not know losses, rows or what the model is for. All ranks call the same methods in the same order.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import deepspeed
import torch
from deepspeed.runtime.engine import DeepSpeedEngine
from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from actors.learning.schedule import Schedule, catch_up, learning_rates
from actors.learning.zero_config import Settings

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True, slots=True)
class PassTimes:
    """Seconds of this rank."""

    forward_s: float
    backward_s: float


class FrozenEngine:
    """A model in shards that never learns."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.deepspeed: DeepSpeedEngine = deepspeed.initialize(model=model.requires_grad_(False), config=settings)[0]

    def close(self) -> None:
        self.deepspeed.destroy()


class ZeroEngine:
    """A model in shards with its gradients, fp32 weights, AdamW and learning rate."""

    def __init__(
        self, model: nn.Module, settings: Settings, *, schedule: Schedule, world_size: int, reduces_once: bool
    ) -> None:
        """`reduces_once`: gradients add up in the (whole) model over all rows and are sent once."""
        self.deepspeed: DeepSpeedEngine = deepspeed.initialize(
            model=model,
            # Annotated as a module, which is not what it wants.
            model_parameters=[parameter for parameter in model.parameters() if parameter.requires_grad],  # pyright: ignore[reportArgumentType]
            config=settings,
            # Annotated for schedulers of an older torch.
            lr_scheduler=lambda optimizer: learning_rates(optimizer, schedule),  # pyright: ignore[reportArgumentType]
        )[0]
        self._world_size = world_size
        self._reduces_once = reduces_once

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self.deepspeed.get_lr()[0])

    def follow_schedule(self) -> None:
        """After a load: the next step's rate is that of the run as it is now."""
        rates = self.deepspeed.lr_scheduler
        assert isinstance(rates, LambdaLR)
        catch_up(rates)

    def accumulate(self, rows: Sequence[Row], loss_of: Callable[[Row], Tensor]) -> PassTimes:
        """Add up the gradients of each row's loss [], and of all ranks' rows: of the sum, not the mean."""
        forward_s = backward_s = 0.0
        with self.deepspeed.coalesce_grad_reduction() if self._reduces_once else nullcontext():
            for index, row in enumerate(rows):
                self.deepspeed.set_gradient_accumulation_boundary(index == len(rows) - 1)
                started = time.monotonic()
                loss = loss_of(row)
                computed = time.monotonic()
                self.deepspeed.backward(loss * self._world_size)  # DeepSpeed averages over the ranks
                forward_s += computed - started
                backward_s += time.monotonic() - computed
            started = time.monotonic()
        return PassTimes(forward_s=forward_s, backward_s=backward_s + time.monotonic() - started)

    def squared_gradient(self) -> Tensor:
        """Sum of squares, fp64 [], of this rank's shard of the accumulated gradients; not finite where one isn't."""
        total = torch.zeros((), dtype=torch.float64)
        for partitions in self._optimizer.get_fp32_grad_partitions().values():
            for gradient in partitions.values():
                total = total.to(gradient.device) + gradient.flatten().dot(gradient.flatten()).double()
        return total

    def step(self) -> float:
        """Take the step; the result is the gradient's norm over all ranks, before clipping."""
        self.deepspeed.step()
        assert self.deepspeed.was_step_applied(), "DeepSpeed refused a step whose gradients are finite"
        return float(self.deepspeed.get_global_grad_norm() or 0.0)

    def discard(self) -> None:
        """Throw the accumulated gradients away: weights, optimiser states and learning rate stay as they are.

        The next backward pass overwrites DeepSpeed's gradient shards, because this starts its count of micro-batches
        anew; nothing is added to what may be NaN.
        """
        self._optimizer.zero_grad(set_to_none=True)

    def close(self) -> None:
        self.deepspeed.destroy()

    @property
    def _optimizer(self) -> DeepSpeedZeroOptimizer_Stage3:
        optimizer = self.deepspeed.optimizer
        assert isinstance(optimizer, DeepSpeedZeroOptimizer_Stage3)
        return optimizer


@contextmanager
def measuring(engine: FrozenEngine | ZeroEngine) -> Iterator[nn.Module]:
    """The model without gradients and dropout, and so without random numbers; afterwards it is as it was."""
    model = engine.deepspeed
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.train(was_training)
