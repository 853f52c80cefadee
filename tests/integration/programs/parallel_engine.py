"""Run an engine of two processes in a process of its own, and tell over a pipe how far it is."""

import multiprocessing
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import psutil

from contracts.rollouts import Rollout
from tests.models.tiny import ModelWeights, load_model, request, tiny_policy

Result = TypeVar("Result")

TENSOR_PARALLEL_SIZE = 2


@dataclass(frozen=True, kw_only=True)
class Served:
    """Hold what the engine did with the weights of its first update."""

    version: int | None
    rollout: Rollout
    children: tuple[int, ...]  # process ids


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Hold what came of an update that failed."""

    failure: str  # name of the class
    heartbeat: str


def start(model: Path) -> tuple[BaseProcess, Connection]:
    """Start the program; it sends `Served`, waits for a message, and sends `Broken`."""
    processes = multiprocessing.get_context("spawn")
    ours, its = processes.Pipe()
    process = processes.Process(target=run, args=(model, its))
    process.start()
    its.close()
    return process, ours


def run(model: Path, parent: Connection) -> None:
    from actors.generation.engine import GenerationEngine
    from actors.weight_sync.buckets import WeightManifest

    config = tiny_policy(model).model_copy(update={"tensor_parallel_size": TENSOR_PARALLEL_SIZE, "num_cpus": 1})
    engine = GenerationEngine(config, device="cpu", weight_backend="nccl")
    manifest = WeightManifest.of(ModelWeights(load_model(model)))
    engine.start_weight_update(manifest).result()
    engine.finish_weight_update(3).result()  # nothing was broadcast: the model keeps its weights
    ((rollout,),) = [future.result() for future in engine.submit_all([request("first", temperature=0)])]
    children = tuple(child.pid for child in psutil.Process().children(recursive=True))
    parent.send(Served(version=engine.policy_version, rollout=rollout, children=children))
    parent.recv()
    engine.start_weight_update(manifest).result()
    failure = outcome_of(engine.update_weights({"names": [], "dtype_names": [], "shapes": []}))  # it joined no group
    try:
        heartbeat = outcome_of(engine.heartbeat())
    except Exception as refusal:  # noqa: BLE001 - its class is what is asked for
        heartbeat = type(refusal).__name__
    engine.close()
    parent.send(Broken(failure=failure, heartbeat=heartbeat))


def outcome_of(future: "Future[Result]") -> str:
    """Return the name of the class of what the future raises, or "NoneType"."""
    failure = future.exception(timeout=120)
    return type(failure).__name__
