"""The learner's ranks as one group: how they meet, what they agree on, how they part.

Owns torch.distributed and which accelerator DeepSpeed sees. Must not know models or losses. Every function here is a
collective: all ranks call it, in the same order.
"""

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from actors.learning.rank_setup import RankPlace


def join(place: RankPlace, *, timeout_s: float) -> None:
    """Meet the other ranks, under DeepSpeed's accelerator of this device.

    DeepSpeed looks for its accelerator when it is imported: whatever imports it must be imported after this call.
    """
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


def leave() -> None:
    dist.destroy_process_group()


def summed(values: torch.Tensor) -> torch.Tensor:
    """Over all ranks, the same on each. A NaN or an infinity anywhere leaves none of its sums finite."""
    total = values.clone()
    dist.all_reduce(total)
    return total


def largest(values: torch.Tensor) -> torch.Tensor:
    """Element by element over all ranks, the same on each."""
    peak = values.clone()
    dist.all_reduce(peak, op=dist.ReduceOp.MAX)
    return peak


def largest_of(values: Sequence[float], device: torch.device) -> list[float]:
    """`largest` of plain numbers."""
    return largest(torch.tensor(values, dtype=torch.float64, device=device)).tolist()
