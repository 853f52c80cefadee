"""Connect to Ray or start it, reserve the bundles of a run, and start actors in them."""

import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.remote.process import ProcessInfo, RemoteActor, RemoteClass
from cluster.environment import QUIET, ROLE_VARIABLE, close_token_file, cluster_address
from cluster.layout import Device, Layout, Placement, Resources, check_fits
from contracts.config.workers import ClusterConfig
from contracts.errors import BadInput, RunFailed
from contracts.paths import ROOT
from contracts.ports import Console

PROBE_TIMEOUT_S = 5.0


@contextmanager
def connected(config: ClusterConfig, console: Console) -> Iterator[Resources]:
    """Connect to the cluster of `RAY_ADDRESS`, or start Ray on this machine, for the time of a run.

    Yields what the cluster has.

    Raises:
        BadInput: Ray can't be started or reached. An address that does not answer is found within seconds.
    """
    address = cluster_address()
    options = {
        "log_to_driver": False,  # actors' output stays in Ray's log files; see collect_logs
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": QUIET | {"PYTHONPATH": str(ROOT)}},
    }
    if address:
        check_address(address)
        start = {"address": address}
    else:  # Ray turns token authentication on by itself; that it listens on loopback only is said by LOOPBACK
        start = {
            "address": "local",
            "include_dashboard": config.include_dashboard,
            "dashboard_host": "127.0.0.1",
        }
    try:
        with console.phase(f"connecting to Ray at {address}" if address else "starting Ray"):
            ray.init(**start, **options)
    except (ConnectionError, RuntimeError, ValueError) as failure:
        if not address:
            raise BadInput(
                f"could not start Ray on this machine: {first_line(failure)}", key="RAY_ADDRESS"
            ) from failure
        raise BadInput(
            f"could not connect to Ray at {address}: {first_line(failure)}; a cluster with token authentication needs "
            "its token in ~/.ray/auth_token, RAY_AUTH_TOKEN or the file of RAY_AUTH_TOKEN_PATH",
            key="RAY_ADDRESS",
        ) from failure
    finally:
        close_token_file()
    try:
        total = ray.cluster_resources()
        yield Resources(cpus=total.get("CPU", 0.0), gpus=total.get("GPU", 0.0))
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Check that an address answers: `ray.init` itself waits for minutes at one that does not.

    Raises:
        BadInput: the address is none, or does not answer; `key` is "RAY_ADDRESS".
    """
    if address == "auto":
        return
    if "://" in address:
        raise BadInput(
            f"RAY_ADDRESS={address}: a run needs the cluster's own address as host:port (or auto); "
            "http:// is for `ray job submit --address`",
            key="RAY_ADDRESS",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise BadInput(f"RAY_ADDRESS={address}: expected host:port or auto", key="RAY_ADDRESS")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_TIMEOUT_S).close()
    except OSError as failure:
        raise BadInput(
            f"RAY_ADDRESS={address} does not answer ({failure}); start Ray there, or unset RAY_ADDRESS",
            key="RAY_ADDRESS",
        ) from failure


@dataclass(frozen=True)
class Bundles:
    """Hold the reserved devices of a run."""

    layout: Layout
    group: PlacementGroup


@contextmanager
def placed(layout: Layout, config: ClusterConfig, on_wait: Callable[[str], None]) -> Iterator[Bundles]:
    """Reserve the bundles of a run as a whole, for the time of the run. Says every 30 s what it waits for.

    Raises:
        BadInput: the cluster is too small.
        RunFailed: the bundles were not free within cluster.placement_timeout_s; `key` is "cluster".
    """
    bundles = [
        {"CPU": slot.bundle.cpus} | ({"GPU": slot.bundle.gpus} if slot.bundle.gpus else {}) for slot in layout.slots
    ]
    total = ray.cluster_resources()
    check_fits(layout, Resources(cpus=total.get("CPU", 0.0), gpus=total.get("GPU", 0.0)))
    group = placement_group(bundles, strategy="PACK")
    try:
        _wait_placed(group, layout, config.placement_timeout_s, on_wait)
        yield Bundles(layout, group)
    finally:
        remove_placement_group(group)


def _wait_placed(group: PlacementGroup, layout: Layout, timeout_s: float, on_wait: Callable[[str], None]) -> None:
    deadline = time.monotonic() + timeout_s
    while not group.wait(timeout_seconds=min(30.0, max(0.1, deadline - time.monotonic()))):
        free = ray.available_resources()
        state = (
            f"the run needs {layout.total} for {len(layout.placements)} actors; free now: "
            f"{free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs"
        )
        if time.monotonic() >= deadline:
            raise RunFailed(
                f"the cluster had no free resources within {timeout_s:g} s (cluster.placement_timeout_s): {state}",
                key="cluster",
            )
        on_wait(f"waiting for the cluster: {state}")


def start_actor(actor: RemoteClass, placement: Placement, bundles: Bundles, args: Sequence[object]) -> RemoteActor:
    """Start one actor in its bundle, with as many threads as it has cores. Does not wait for it."""
    strategy = PlacementGroupSchedulingStrategy(
        placement_group=bundles.group, placement_group_bundle_index=bundles.layout.slot_index(placement)
    )
    return _start(actor, placement, bundles.layout.device, args, strategy=strategy)


def start_unreserved(actor: RemoteClass, placement: Placement, device: Device, args: Sequence[object]) -> RemoteActor:
    """Start one actor without a bundle: it waits until a node has free what its bundle would hold."""
    return _start(actor, placement, device, args, strategy="DEFAULT")


def _start(
    actor: RemoteClass,
    placement: Placement,
    device: Device,
    args: Sequence[object],
    *,
    strategy: PlacementGroupSchedulingStrategy | str,
) -> RemoteActor:
    threads = str(placement.num_threads)
    env = {
        ROLE_VARIABLE: placement.role,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "RAYON_NUM_THREADS": threads,
    }
    if device == "cpu":
        env |= {"DS_ACCELERATOR": "cpu"}
    return actor.options(
        num_cpus=placement.bundle.cpus,
        num_gpus=placement.bundle.gpus,
        scheduling_strategy=strategy,
        runtime_env={"env_vars": QUIET | {"PYTHONPATH": str(ROOT)} | env},
    ).remote(*args)


def collect_logs(processes: Mapping[str, ProcessInfo], folder: Path) -> None:
    """Copy the actors' output into `folder`, named by actor; the output on other nodes stays in Ray's logs."""
    here = os.uname().nodename
    for name, process in processes.items():
        for stream, log in (("out", process.stdout), ("err", process.stderr)):
            if process.node == here and Path(log).is_file():
                shutil.copyfile(log, folder / f"{name}.{stream}")


def first_line(failure: BaseException) -> str:
    """Return the first line with content of an error, or its type if it has no text."""
    return next((line.strip() for line in str(failure).splitlines() if line.strip()), type(failure).__name__)
