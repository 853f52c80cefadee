"""Join the learner's ranks in one process group, and reduce values over it.

Every function here is a collective: all ranks call it, in the same order.
"""

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import FileStore, HashStore  # pyright: ignore[reportPrivateImportUsage]

from actors.learning.rank_setup import RankPlace


def join(place: RankPlace, *, timeout_s: float) -> None:
    """Join the process group, and select DeepSpeed's accelerator for this rank's device.

    A process that is in a group already stays in it: several models of one process share the group.
    DeepSpeed looks for its accelerator when it is imported: modules that import it must be imported after this call.
    """
    os.environ["DS_ACCELERATOR"] = place.device
    os.environ["RANK"], os.environ["WORLD_SIZE"] = str(place.rank), str(place.world_size)
    os.environ["LOCAL_RANK"] = "0"  # the process sees at most one GPU

    import deepspeed
    import deepspeed.ops

    if place.device == "cpu":
        # This shared-memory operator would be compiled at the first start, and gloo has everything that ZeRO-3 needs.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    backend, timeout = "gloo" if place.device == "cpu" else "nccl", timedelta(seconds=timeout_s)
    if not dist.is_initialized():
        dist.init_process_group(
            backend,
            store=HashStore() if place.world_size == 1 else FileStore(place.meeting, place.world_size),
            rank=place.rank,
            world_size=place.world_size,
            timeout=timeout,
        )
    deepspeed.init_distributed(dist_backend=backend, timeout=timeout, auto_mpi_discovery=False, verbose=False)


def leave() -> None:
    """Leave the process group."""
    dist.destroy_process_group()


def summed(values: torch.Tensor) -> torch.Tensor:
    """Return the element-wise sum [...] over all ranks; a NaN or an infinity on any rank makes it not finite."""
    total = values.clone()
    dist.all_reduce(total)
    return total


def largest(values: torch.Tensor) -> torch.Tensor:
    """Return the element-wise maximum [...] over all ranks."""
    peak = values.clone()
    dist.all_reduce(peak, op=dist.ReduceOp.MAX)
    return peak


def largest_of(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the maximum over all ranks of each of some plain numbers."""
    return largest(torch.tensor(values, dtype=torch.float64, device=device)).tolist()
