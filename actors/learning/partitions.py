"""Read and set what one ZeRO-3 rank holds of a model that learns: its part of the fp32 weights and of Adam's moments.

A rank keeps its parts of many parameters one after the other in one flat tensor, and has several of these.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import torch
from deepspeed.runtime.engine import DeepSpeedEngine
from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from actors.learning.parts import Part, pieces
from actors.learning.schedule import catch_up

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's states of a flat tensor, as torch names them."""


class SavedPart(TypedDict):
    """Hold the rank's part of one engine, as a file keeps it: tensors and plain values only."""

    parameters: dict[str, list[int]]  # name -> flat tensor, start, elements of the whole parameter, then its shape
    flat: dict[str, list[Tensor]]  # "weights" and, after the first optimiser step, Adam's moments: fp32 [elements]
    adam_steps: int  # optimiser steps behind the moments
    buffers: dict[str, Tensor]  # that the model keeps beside its parameters
    global_steps: int
    skipped_steps: int
    scheduled_steps: int


def parts_of(engine: DeepSpeedEngine) -> list[Part]:
    """Return the parts of all parameters that learn, in the order in which the rank keeps them."""
    names = {id(parameter): name for name, parameter in _module(engine).named_parameters()}
    found: list[Part] = []
    for index, group in enumerate(_zero(engine).fp16_groups):
        start = 0
        for parameter in group:
            length = parameter.partition_numel()
            shape = tuple(parameter.ds_shape)
            found.append(
                Part(
                    name=names[id(parameter)],
                    flat=index,
                    start=start,
                    length=length,
                    whole=parameter.ds_numel,
                    shape=shape,
                )
            )
            start += length
    return found


def part_to_save(engine: DeepSpeedEngine) -> SavedPart:
    """Return this rank's state of an engine. Its tensors are the engine's own: the next optimiser step changes them."""
    zero, adam = _zero(engine), _zero(engine).optimizer
    weights = zero.fp32_partitioned_groups_flat
    states = [adam.state.get(tensor, {}) for tensor in weights]
    has_stepped = all(states)
    return SavedPart(
        parameters={part.name: [part.flat, part.start, part.whole, *part.shape] for part in parts_of(engine)},
        flat={"weights": [tensor.detach() for tensor in weights]}
        | ({name: [state[name] for state in states] for name in MOMENTS} if has_stepped else {}),
        adam_steps=int(states[0]["step"]) if has_stepped else 0,
        buffers={name: buffer.detach().clone() for name, buffer in _buffers(engine).items()},
        global_steps=engine.global_steps,
        skipped_steps=engine.skipped_steps,
        scheduled_steps=_rates(engine).last_epoch,
    )


def difference(engine: DeepSpeedEngine, saved: SavedPart) -> str:
    """Return how the saved model differs from the engine's, in names or shapes; empty if they are the same."""
    ours = {part.name: list(part.shape) for part in parts_of(engine)}
    theirs = {name: place[3:] for name, place in saved["parameters"].items()}
    wrong = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    wrong += sorted(_buffers(engine).keys() ^ saved["buffers"].keys())
    return f"it is of another model: {wrong[0]} and {len(wrong) - 1} more don't match" if wrong else ""


def needed_ranks(engine: DeepSpeedEngine, *, rank: int, world_size: int, num_saved: int) -> list[int]:
    """Return which of `num_saved` ranks have written something that this rank needs; at least one."""
    found = {rank % num_saved}
    for part in parts_of(engine):
        found.update(piece.saved for piece in pieces(part, rank=rank, world_size=world_size, num_saved=num_saved))
    return sorted(found)


def take_over(
    engine: DeepSpeedEngine, saved: Mapping[int, SavedPart], *, rank: int, world_size: int, num_saved: int
) -> None:
    """Set this rank's part from what the ranks in `saved` have written (see `needed_ranks`). A collective.

    With as many ranks as before, every element is as it was, padding included; with another number padding is 0.
    """
    zero = _zero(engine)
    any_part = saved[rank % num_saved]
    zero.checkpoint_event_prologue()  # whole parameters are sharded; the epilogue gathers them again
    targets = {"weights": [tensor.data for tensor in zero.fp32_partitioned_groups_flat]}
    if any_part["adam_steps"]:
        targets |= _new_moments(zero, steps=any_part["adam_steps"])
    for part in parts_of(engine):
        for name, flat in targets.items():
            target = flat[part.flat].narrow(0, part.start, part.length)
            if num_saved != world_size:
                target.zero_()
            for piece in pieces(part, rank=rank, world_size=world_size, num_saved=num_saved):
                index, start, *_ = saved[piece.saved]["parameters"][part.name]
                source = saved[piece.saved]["flat"][name][index].narrow(0, start + piece.source, piece.length)
                target.narrow(0, piece.target, piece.length).copy_(source)
    for index in range(len(zero.fp32_partitioned_groups_flat)):
        zero._reassign_or_swap_out_partitioned_parameters(index)  # the weights in the model's own dtype
    zero.checkpoint_event_epilogue()
    for name, buffer in _buffers(engine).items():
        buffer.copy_(any_part["buffers"][name])
    _set_progress(engine, any_part)


def _new_moments(zero: DeepSpeedZeroOptimizer_Stage3, *, steps: int) -> dict[str, list[Tensor]]:
    """Give Adam empty moments for every flat tensor, and return them; as torch makes them in its first step."""
    weights: Sequence[Tensor] = zero.fp32_partitioned_groups_flat
    for tensor in weights:
        moments = {name: torch.zeros_like(tensor, requires_grad=False) for name in MOMENTS}
        zero.optimizer.state[tensor] = {
            "step": torch.tensor(float(steps), dtype=torch.float32, device=tensor.device),
            **moments,
        }
    return {name: [zero.optimizer.state[tensor][name] for tensor in weights] for name in MOMENTS}


def _set_progress(engine: DeepSpeedEngine, saved: SavedPart) -> None:
    """Set the counters, and the learning rate of the next step by the current schedule."""
    engine.global_steps, engine.skipped_steps = saved["global_steps"], saved["skipped_steps"]
    engine.global_samples = saved["global_steps"] * engine.train_batch_size()
    rates = _rates(engine)
    rates.last_epoch, rates._step_count = saved["scheduled_steps"], saved["scheduled_steps"] + 1
    catch_up(rates)


def _buffers(engine: DeepSpeedEngine) -> dict[str, Tensor]:
    """Return the tensors that the model keeps in its state beside the parameters."""
    parameters = {name for name, _ in _module(engine).named_parameters(remove_duplicate=False)}
    kept = _module(engine).state_dict().keys() - parameters
    return {name: buffer for name, buffer in _module(engine).named_buffers() if name in kept}


def _module(engine: DeepSpeedEngine) -> nn.Module:
    assert isinstance(engine.module, nn.Module)
    return engine.module


def _rates(engine: DeepSpeedEngine) -> LambdaLR:
    rates = engine.lr_scheduler
    assert isinstance(rates, LambdaLR), f"another schedule: {type(rates).__name__}"
    return rates


def _zero(engine: DeepSpeedEngine) -> DeepSpeedZeroOptimizer_Stage3:
    zero = engine.optimizer
    assert isinstance(zero, DeepSpeedZeroOptimizer_Stage3), f"no ZeRO-3 optimizer: {type(zero).__name__}"
    return zero
