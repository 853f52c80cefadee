"""Compare what was found on a node with what a run needs. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cluster.preflight.facts import NodeFacts, NodeNeeds

LEAST_DRIVER = {"11": 450, "12": 525, "13": 580}
"""Major version of CUDA -> first driver that runs its programs (NVIDIA, CUDA Compatibility, table of minor version
compatibility)."""
LEAST_SHARED_MEMORY_GIB = 1.0
"""Size of /dev/shm that NVIDIA's containers ask for. Docker gives 64 MiB, at which NCCL stops."""
LEAST_FREE_GIB = 1.0
"""Free space without which logs, compiled kernels and downloads stop a run within minutes."""
BFLOAT16_CAPABILITY = (8, 0)
"""Compute capability from which vLLM runs bfloat16."""


def faults(
    facts: NodeFacts, needs: NodeNeeds, *, versions: Mapping[str, str], bfloat16_keys: tuple[str, ...]
) -> list[str]:
    """Return what keeps a node from its part in the run, one sentence without an end each.

    Args:
        facts: what was found on the node.
        needs: what the run needs of it.
        versions: of the driver's packages.
        bfloat16_keys: config keys that ask for bfloat16 on this node's GPUs.
    """
    found = [*_packages(facts, versions), *_models(facts, needs), *_disk(facts), *_run_folder(facts, needs)]
    if needs.num_gpus:
        found += [*_gpus(facts, needs, bfloat16_keys), *_compiler(facts), *_shared_memory(facts)]
    return found


def _packages(facts: NodeFacts, versions: Mapping[str, str]) -> Iterator[str]:
    for package, wanted in versions.items():
        has = facts.versions.get(package, "")
        if has != wanted:
            yield (
                f"{package} is {has or 'not installed'}, and the driver has {wanted or 'none'}; install the same "
                "requirements on both"
            )


def _models(facts: NodeFacts, needs: NodeNeeds) -> Iterator[str]:
    for key, why in facts.unusable_models.items():
        yield f"{key} = {needs.models[key]!r} {why}"


def _disk(facts: NodeFacts) -> Iterator[str]:
    for folder, free in facts.free_gib.items():
        if free < LEAST_FREE_GIB:
            yield f"{free:.2f} GiB are free in {folder}; free at least {LEAST_FREE_GIB:g} GiB"


def _run_folder(facts: NodeFacts, needs: NodeNeeds) -> Iterator[str]:
    if not facts.sees_marker:
        yield (
            f"{Path(needs.marker).parent} is not the driver's folder there, and learner ranks meet and write "
            "checkpoints in it; set run.folder to a folder that all nodes share"
        )
    elif facts.unwritable:
        yield (
            f"{Path(needs.marker).parent} can't be written there ({facts.unwritable}), and learner ranks write "
            "checkpoints in it; give the user of `ray start` the right to, or set run.folder to another shared folder"
        )


def _gpus(facts: NodeFacts, needs: NodeNeeds, bfloat16_keys: tuple[str, ...]) -> Iterator[str]:
    least = LEAST_DRIVER.get((facts.torch_cuda or "").partition(".")[0])
    if facts.driver and least and int(facts.driver.partition(".")[0]) < least:
        yield (
            f"NVIDIA's driver is {facts.driver}, and torch is built for CUDA {facts.torch_cuda}, which needs {least} "
            "or newer; install a newer driver"
        )
        return  # why torch can't use a GPU either
    if facts.cuda is None:
        return
    if facts.cuda.problem:
        yield f"torch can't use the GPUs: {facts.cuda.problem}"
    elif facts.cuda.num_gpus < needs.num_gpus:
        yield (
            f"torch sees {facts.cuda.num_gpus} GPUs, and the run has actors for {needs.num_gpus} there; correct the "
            "number that `ray start` was given, or CUDA_VISIBLE_DEVICES of its shell"
        )
    elif facts.cuda.capability < BFLOAT16_CAPABILITY and bfloat16_keys:
        major, minor = facts.cuda.capability
        yield (
            f"its GPUs have compute capability {major}.{minor}, and bfloat16 needs 8.0; set "
            f'{", ".join(bfloat16_keys)} = "float16" or "float32"'
        )


def _compiler(facts: NodeFacts) -> Iterator[str]:
    if facts.compiler is None:
        yield "there is no C compiler, which Triton needs for its kernels; install gcc, or set CC"
    if not facts.python_headers:
        yield "Python.h is missing, which Triton needs for its kernels; install the headers of Python (python3.11-dev)"


def _shared_memory(facts: NodeFacts) -> Iterator[str]:
    if facts.shared_memory_gib < LEAST_SHARED_MEMORY_GIB:
        yield (
            f"/dev/shm has {facts.shared_memory_gib:.2f} GiB, and NCCL needs {LEAST_SHARED_MEMORY_GIB:g}; start the "
            "container with --shm-size"
        )
