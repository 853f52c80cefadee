"""Connect to Ray or start it, start actors in reserved bundles, and collect what they printed."""

import logging
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.remote.process import ProcessInfo, RemoteActor, RemoteClass
from cluster.capacity import Node
from cluster.environment import QUIET, ROLE_VARIABLE, close_token_file, cluster_address, forwarded
from cluster.joining import agree_on_token, find_cluster
from cluster.layout import Placement
from cluster.reserve import Bundles, cluster_nodes
from contracts.config.workers import ClusterConfig, NodeLabels
from contracts.errors import BadInput
from contracts.paths import HOME_VARIABLE, IS_INSTALLED, ROOT, home
from contracts.ports import Console


@contextmanager
def connected(config: ClusterConfig, console: Console) -> Iterator[tuple[Node, ...]]:
    """Connect to the cluster of `RAY_ADDRESS`, or start Ray on this machine, for the time of a run.

    Yields the nodes of the cluster.

    Raises:
        BadInput: Ray can't be started or reached. An address that does not answer is found within seconds.
    """
    address = cluster_address()
    try:
        if address:
            _join(find_cluster(address), console)
        else:
            _start(config, console)
    finally:
        close_token_file()
    try:
        yield cluster_nodes()
    finally:
        ray.shutdown()


def _start(config: ClusterConfig, console: Console) -> None:
    """Start Ray on this machine. It turns token authentication on by itself, and LOOPBACK lets it listen there only.

    Raises:
        BadInput: it does not start; `key` is "RAY_ADDRESS".
    """
    try:
        with console.phase("starting Ray"), _own_sigterm():
            ray.init(
                address="local",
                include_dashboard=config.include_dashboard,
                dashboard_host="127.0.0.1",
                runtime_env={"env_vars": _common()},
                **_SILENT,
            )
    except Exception as failure:  # Ray raises no narrower one where its processes take more than 30 s
        raise BadInput(f"could not start Ray on this machine: {first_line(failure)}", key="RAY_ADDRESS") from failure


def _join(address: str, console: Console) -> None:
    """Connect to a running cluster, whose processes get this process' settings for the hub and the network.

    Raises:
        BadInput: it can't be joined; `key` is "RAY_ADDRESS" or "RAY_AUTH_MODE".
    """
    with console.phase(f"connecting to Ray at {address}"):
        note = agree_on_token(address)
        settings = forwarded(os.environ)

        def take_settings() -> None:
            os.environ.update(settings)

        # Ray writes a runtime environment into logs and shows it on its dashboard, but not what a hook holds: the
        # settings may hold tokens. The function is defined here so that Ray sends it whole.
        environment = {"env_vars": _common(), "worker_process_setup_hook": take_settings}
        # Ray refuses a variable that both the submitted job and this environment give, such as PYTHONPATH.
        os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
        try:
            with _own_sigterm():
                ray.init(address=address, runtime_env=environment, **_SILENT)
        except (ConnectionError, RuntimeError, ValueError) as failure:
            ray.shutdown()  # it may be connected in part
            # Ray writes two versions that differ on lines of their own.
            raise BadInput(
                f"could not connect to Ray at {address}: {' '.join(str(failure).split())}", key="RAY_ADDRESS"
            ) from failure
    if note:
        console.note(note)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process' handler of SIGTERM while Ray is started: Ray's own prints a stack before the program ends."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _common() -> dict[str, str]:
    """Return the variables of every process of a run. An installed program's home is the folder of its driver."""
    home_there = {HOME_VARIABLE: str(home())} if IS_INSTALLED else {}
    return QUIET | {"PYTHONPATH": str(ROOT)} | home_there


_SILENT: Mapping[str, Any] = {
    "log_to_driver": False,  # actors' output stays in Ray's log files; see collect_logs
    "logging_level": logging.ERROR,
}


def start_actor(actor: RemoteClass, placement: Placement, bundles: Bundles, args: Sequence[object]) -> RemoteActor:
    """Start one actor in its bundle, with as many threads as it has cores. Does not wait for it."""
    group, index = bundles.slot(placement)
    strategy = PlacementGroupSchedulingStrategy(placement_group=group, placement_group_bundle_index=index)
    return _start_with(actor, placement, args, strategy=strategy)


def start_unreserved(actor: RemoteClass, placement: Placement, args: Sequence[object]) -> RemoteActor:
    """Start one actor without a bundle: it waits until a node with its labels has free what its bundle would hold."""
    return _start_with(actor, placement, args, strategy="DEFAULT", labels=placement.nodes)


def _start_with(
    actor: RemoteClass,
    placement: Placement,
    args: Sequence[object],
    *,
    strategy: PlacementGroupSchedulingStrategy | str,
    labels: NodeLabels | None = None,
) -> RemoteActor:
    threads = str(placement.num_threads)
    env = {
        ROLE_VARIABLE: placement.role,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "RAYON_NUM_THREADS": threads,
    }
    if placement.device == "cpu":
        # Ray hides no GPU from an actor that asks for none.
        env |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return actor.options(
        num_cpus=placement.bundle.cpus,
        num_gpus=placement.bundle.gpus,
        scheduling_strategy=strategy,
        label_selector=dict(labels or {}),
        runtime_env={"env_vars": _common() | env},
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
