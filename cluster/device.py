"""Choose what the models of a run are computed on: GPUs or CPUs.

The config, the cluster and the installed packages must agree: vLLM's build for CPUs can't use a GPU, and its build for
GPUs can't run without one.
"""

from dataclasses import dataclass

from cluster.builds import Builds
from cluster.capacity import Node, check_fits
from cluster.layout import Layout, Resources, Role, layout, summed
from cluster.packing import check_packs
from cluster.settings import check_settings
from contracts.config.device_defaults import Device
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.ports import Console

TO_GPUS = "`make clean install-gpu`"
TO_CPUS = "`make clean install`"
_ENGINES: tuple[Role, ...] = ("policy", "pivot")


@dataclass(frozen=True, kw_only=True)
class ChosenDevice:
    """Hold the device of a run, and one line for the user where GPUs stay idle (else empty)."""

    device: Device
    note: str = ""


def place(
    config: Config, nodes: tuple[Node, ...], builds: Builds, *, roles: tuple[Role, ...], console: Console
) -> Layout:
    """Return the layout of a run on the cluster's nodes, and say where GPUs stay idle.

    Raises:
        BadInput: the installed packages have no build for the device, the config asks for something that the device or
            the models can't do, or the cluster is too small.
    """
    chosen = choose_device(config, summed(node.total for node in nodes), builds, roles=roles)
    check_settings(config, chosen.device, roles=roles)
    wanted = layout(config, chosen.device, roles=roles)
    may_use_cpus = chosen.device == "cuda" and _cpu_obstacle(builds, roles) is None
    check_fits(wanted, nodes, way_out='set cluster.device = "cpu"' if may_use_cpus else "")
    check_packs(wanted, nodes)
    if chosen.note:
        console.note(chosen.note)
    return wanted


def place_later(config: Config, nodes: tuple[Node, ...], device: Device, *, roles: tuple[Role, ...]) -> Layout:
    """Return the layout of roles that may be started during the run, on what the others have left.

    Raises:
        BadInput: they could never be started: a setting is refused, or a bundle fits on no node.
    """
    check_settings(config, device, roles=roles)
    wanted = layout(config, device, roles=roles)
    check_fits(wanted, nodes)
    return wanted


def choose_device(config: Config, cluster: Resources, builds: Builds, *, roles: tuple[Role, ...]) -> ChosenDevice:
    """Return the device of the run.

    "auto" is cuda if the packages are built for it and the cluster has as many GPUs as the run needs. Where the
    packages can't run on CPUs, it is cuda as well, and the sizes are compared later.

    Raises:
        BadInput: the installed packages have no build for the device; `key` is "cluster.device".
    """
    no_gpu_build, no_cpu_build = _gpu_obstacle(builds, roles), _cpu_obstacle(builds, roles)
    if config.cluster.device != "auto":
        return _asked_for(config.cluster.device, no_gpu_build, no_cpu_build)
    if no_gpu_build is not None and no_cpu_build is not None:
        raise BadInput(
            f"{no_gpu_build}, and {no_cpu_build}: they don't go together; {TO_GPUS} installs the builds for GPUs, "
            f"{TO_CPUS} those for CPUs",
            key="cluster.device",
        )
    needed = layout(config, "cuda", roles=roles).total.gpus
    has_enough = 0 < needed <= cluster.gpus
    if no_cpu_build is not None or (has_enough and no_gpu_build is None):
        return ChosenDevice(device="cuda")
    return ChosenDevice(device="cpu", note=_why_idle(cluster, needed, no_gpu_build))


def _asked_for(device: Device, no_gpu_build: str | None, no_cpu_build: str | None) -> ChosenDevice:
    """Return the device that the config names.

    Raises:
        BadInput: the installed packages have no build for it, with what helps.
    """
    obstacle, other = (no_gpu_build, no_cpu_build) if device == "cuda" else (no_cpu_build, no_gpu_build)
    if obstacle is None:
        return ChosenDevice(device=device)
    install, another = (TO_GPUS, "cpu") if device == "cuda" else (TO_CPUS, "cuda")
    hint = "" if other is not None else f', or set cluster.device = "{another}"'
    raise BadInput(
        f'cluster.device = "{device}", but {obstacle}; {install} installs what is built for it{hint}',
        key="cluster.device",
    )


def planned_device(config: Config, here: Resources, builds: Builds, *, roles: tuple[Role, ...]) -> ChosenDevice:
    """Return the device that a plan is made for, on a machine that need not be one of the run's.

    The config's own choice is planned whatever is installed; "auto" is what this machine would choose.
    """
    if config.cluster.device != "auto":
        return ChosenDevice(device=config.cluster.device)
    return choose_device(config, here, builds, roles=roles)


def _why_idle(cluster: Resources, needed: float, no_gpu_build: str | None) -> str:
    """Return why a run leaves GPUs alone that are there; empty if there are none."""
    if cluster.gpus == 0 or needed == 0:
        return ""
    there = "the cluster's GPU stays idle" if cluster.gpus == 1 else f"the cluster's {cluster.gpus:g} GPUs stay idle"
    if no_gpu_build is None:
        return f"running on CPUs, and {there}: on GPUs this config needs {needed:g}"
    return (
        f"running on CPUs, and {there}: {no_gpu_build}. {TO_GPUS} installs the builds for GPUs, of which this config "
        f"then takes {needed:g}"
    )


def _gpu_obstacle(builds: Builds, roles: tuple[Role, ...]) -> str | None:
    """Return why the installed packages can't run these roles on GPUs; None if they can."""
    lacking = [] if builds.torch_cuda else ["torch"]
    if _has_engines(roles) and not builds.vllm_cuda:
        lacking.append("vLLM")
    if not lacking:
        return None
    return f"the installed {' and '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} built for CPUs"


def _cpu_obstacle(builds: Builds, roles: tuple[Role, ...]) -> str | None:
    """Return why the installed packages can't run these roles on CPUs; None if they can."""
    return "the installed vLLM is built for GPUs" if _has_engines(roles) and builds.vllm_cuda else None


def _has_engines(roles: tuple[Role, ...]) -> bool:
    return any(role in roles for role in _ENGINES)
