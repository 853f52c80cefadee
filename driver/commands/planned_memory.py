"""Say what a plan needs of memory and disk: a row for each actor, and the sums for nodes, GPUs and the run folder."""

from collections.abc import Mapping

from rich.table import Table

from cluster.estimate.actors import estimate
from cluster.estimate.disk import DISK_BYTES_PER_S, disk_need
from cluster.estimate.fits import Hardware, host_total
from cluster.estimate.learner import pushed_bytes
from cluster.estimate.parts import DRIVER_GIB, RAY_GIB, ActorMemory
from cluster.host_memory import host_memory_gib
from cluster.labels import described
from cluster.layout import Layout, Role
from contracts.config.run import Config
from contracts.config.section import decided
from contracts.config.workers import ClusterConfig

GIVE_SIZE = "give cluster.gpu_memory_gib, and the plan says what fits"


def planned_hardware(cluster: ClusterConfig) -> Hardware:
    """Return what a plan knows of the run's machines: the size of a GPU, if the config gives it."""
    return Hardware(gpu_gib=None if cluster.gpu_memory_gib == "auto" else cluster.gpu_memory_gib)


def plan_table(wanted: Layout, needs: Mapping[Role, ActorMemory]) -> Table:
    """Return one row for each actor."""
    are_labelled = any(placement.nodes for placement in wanted.placements)
    columns = ("actor", "CPUs", "GPUs", "threads", "host memory, GiB", "memory of each GPU, GiB")
    table = Table(*columns, *(("nodes",) if are_labelled else ()), title=f"device: {wanted.device}")
    for placement in wanted.placements:
        need = needs[placement.role]
        table.add_row(
            placement.name,
            f"{placement.bundle.cpus:g}",
            f"{placement.bundle.gpus:g}" + (f" of {placement.shares}'s" if placement.shares else ""),
            str(placement.num_threads),
            "?" if (host := need.host_gib(placement.index)) is None else f"{host:.1f}",
            f"{need.gpu.total_gib:.1f}" if need.gpu is not None else "?" if placement.bundle.gpus else "",
            *((described(placement.nodes) or "any",) if are_labelled else ()),
        )
    return table


def of_which(role: Role, need: ActorMemory) -> str:
    """Return the parts of an actor's memory as a sentence."""
    if need.host is None:
        return f"{role}: the model is not on this machine, so its size is not known"
    parts = [f"on each GPU {need.gpu.formula}"] if need.gpu is not None else []
    parts.append(f"on the host {need.host.formula}")
    if need.first.parts:
        parts.append(f"on the host of {role}-0 also {need.first.formula}")
    return f"{role}, GiB: {'; '.join([*parts, *([need.note] if need.note else [])])}"


def actor_gib(need: ActorMemory, index: int) -> dict[str, float | None]:
    """Return the memory of the actor with this number within its role as data, in GiB."""
    host = need.host_gib(index)
    return {
        "memory_gib": None if host is None else round(host, 2),
        "gpu_memory_gib": None if need.gpu is None else round(need.gpu.total_gib, 2),
    }


def memory_lines(config: Config, wanted: Layout) -> list[str]:
    """Return the parts of each role's memory, and the sums: host memory, disk, and what a weight push sends."""
    hardware = planned_hardware(config.cluster)
    roles: set[Role] = {placement.role for placement in wanted.placements}
    needs = estimate(config, wanted.device, roles=roles, gpu_gib=hardware.gpu_gib)
    total = host_total(needs, wanted)
    lines = [of_which(role, need) for role, need in needs.items()]
    if total is not None:
        lines.append(
            f"host memory: about {total:.1f} GiB in total, with {DRIVER_GIB:g} for the driver and {RAY_GIB:g} for Ray; "
            f"this machine has {host_memory_gib():.1f}"
        )
    if wanted.device == "cuda" and hardware.gpu_gib is None:
        lines.append(f"GPU memory: {GIVE_SIZE}")
    return [*lines, *_disk_lines(config)]


def _disk_lines(config: Config) -> list[str]:
    need, pushed = disk_need(config), pushed_bytes(config)
    if need is None or pushed is None:
        return []
    size = f"{_size(need.checkpoint)}, about {need.seconds:.0f} s at {_size(DISK_BYTES_PER_S)}/s"
    many = (
        f"at most {need.num_checkpoints} at once" if need.num_checkpoints > 1 else "one, only at a SIGTERM or failure"
    )
    return [
        f"a checkpoint: {size} ({many}); the run folder needs {_size(need.total)} with the exported policy",
        f"a weight push: {_size(pushed)} in buckets of {decided(config.weights.bucket_mib)} MiB",
    ]


def _size(num_bytes: float) -> str:
    """Return bytes in a unit that reads well."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.3g} {unit}"
    return f"{num_bytes / 1e6:.3g} MB"
