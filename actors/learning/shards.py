"""Save and load a learner's state: each rank's part of every engine that learns, and its random state.

`load_shards` reads the folder that `shard_files` describes, with the same number of ranks or another. Several nodes
need a folder that each of them reaches.

    ranks.json               number of ranks, names of the engines
    rng-0000.pt              a rank's random states
    <engine>/rank-0000.pt    a rank's part (partitions.py)

With as many ranks as before each rank reads its own files. With another number it reads the pieces that it needs of the
files of others: files are mapped into memory, so only these pieces are read from the disk.

Frozen parameters are left out: they are those of the model's own folder (the base weights under LoRA). The files are
torch's, which are pickles. A pickle can name any function to be called, so only tensors, plain values and the few
classes of `_CLASSES` are read.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import numpy as np
import torch
import torch.distributed as dist
from deepspeed.runtime.engine import DeepSpeedEngine

from actors.learning.background_files import Sums
from actors.learning.partitions import SavedPart, difference, needed_ranks, part_to_save, take_over
from contracts.errors import CheckpointFailed, RunFailed
from contracts.sealed_folder import SummedFile

FACTS = "ranks.json"
_CLASSES: list[Callable | tuple[Callable, str]] = [
    cast("Callable", np.empty(0).__reduce__()[0]),
    np.ndarray,
    np.dtype,
    np.dtypes.UInt32DType,
]
"""What a file may name beside torch's own tensors: NumPy's random state. None of it runs code that a file brings."""
_NAMED = re.compile(r"GLOBAL (\S+)")
_WRONG_CONTENT = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What a file raises that can be read and holds something else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """Hold what a rank must know before it reads another file."""

    num_ranks: int
    engines: tuple[str, ...]


def shard_files(
    engines: Mapping[str, DeepSpeedEngine], folder: Path, *, rank: int, world_size: int
) -> Mapping[Path, object]:
    """Return what this rank has to write for the complete state of the engines, by file.

    Their tensors are the engines' own: the next optimiser step changes them.
    """
    files: dict[Path, object] = {_engine_file(folder, name, rank): part_to_save(engines[name]) for name in engines}
    files[_random_file(folder, rank)] = _random_states()
    if rank == 0:
        files[folder / FACTS] = json.dumps({"num_ranks": world_size, "engines": list(engines)}).encode()
    return files


def write_files(files: Mapping[Path, object]) -> Sums:
    """Write bytes as they are and everything else by torch. All of it is on the disk when this returns.

    Raises:
        CheckpointFailed: a file could not be written; the message names it and the reason.
    """
    sums = {}
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with SummedFile(path) as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    torch.save(content, file)  # pyright: ignore[reportArgumentType] - it needs `write` only
        except (OSError, RuntimeError) as error:  # torch reports a failed write as a RuntimeError
            raise CheckpointFailed(f"{path}: {_cause(error)}") from error
        sums[str(path)] = file.sum
    return sums


def load_shards(engines: Mapping[str, DeepSpeedEngine], folder: Path, *, rank: int, world_size: int) -> None:
    """Load what was saved into engines that have not stepped yet. A collective.

    With the same number of ranks training continues bit for bit. With another number each rank takes the random state
    of one of the saved ranks.

    Raises:
        RunFailed: a rank could not read, a file holds more than data, or the folder is of other engines or models;
            raised on every rank, before any of them has changed anything.
    """
    files = _SavedFiles(folder, rank=rank)
    facts = files.facts()
    files.raise_together()
    if set(facts.engines) != set(engines):
        raise RunFailed(
            f"{folder} holds the state of {', '.join(facts.engines)}, but this learner has {', '.join(engines)}; "
            "set algorithm.name back",
            key="algorithm.name",
        )
    num_saved = facts.num_ranks
    states = files.random_states(rank % num_saved)
    parts: dict[str, dict[int, SavedPart]] = {}
    for name, engine in engines.items():
        needed = needed_ranks(engine, rank=rank, world_size=world_size, num_saved=num_saved)
        parts[name] = {saved: files.part(engine, name, saved) for saved in needed}
    files.raise_together()
    for name, engine in engines.items():
        take_over(engine, parts[name], rank=rank, world_size=world_size, num_saved=num_saved)
    _restore_random_states(states)


class _SavedFiles:
    """Read the files of a saved state. A failure is kept until all ranks agree on it, or they would hang."""

    def __init__(self, folder: Path, *, rank: int) -> None:
        self._folder = folder
        self._rank = rank
        self._failure = ""

    def facts(self) -> _Facts:
        """Return the facts; after a failure they are empty."""
        path = self._folder / FACTS
        with self._keeping(path):
            found = json.loads(path.read_text(encoding="utf-8"))
            if (num_ranks := int(found["num_ranks"])) < 1:
                raise ValueError(f"num_ranks is {num_ranks}")
            return _Facts(num_ranks=num_ranks, engines=tuple(found["engines"]))
        return _Facts(num_ranks=0, engines=())

    def random_states(self, saved: int) -> dict:
        """Return the random states of a saved rank; after a failure they are empty."""
        path = _random_file(self._folder, saved)
        with self._keeping(path):
            return {name: _read(path)[name] for name in ("python", "numpy", "torch", "cuda")}
        return {}

    def part(self, engine: DeepSpeedEngine, name: str, saved: int) -> SavedPart:
        """Return the part of a saved rank, mapped into memory; after a failure it is empty."""
        path = _engine_file(self._folder, name, saved)
        with self._keeping(path):
            part = cast(SavedPart, _read(path))
            if wrong := difference(engine, part):
                raise ValueError(wrong)
            return part
        return cast(SavedPart, {})

    def raise_together(self) -> None:
        """Raise on all ranks if one of them failed. A collective; all ranks have about equally much to read before.

        Raises:
            RunFailed: a rank could not read.
        """
        failures: list[str] = [""] * dist.get_world_size()
        dist.all_gather_object(failures, self._failure)
        if told := [f"{failure} (rank {rank})" for rank, failure in enumerate(failures) if failure]:
            raise RunFailed(f"the learner's checkpoint can't be read: {'; '.join(told)}", key="checkpoint")

    @contextmanager
    def _keeping(self, path: Path) -> Iterator[None]:
        """Keep the first failure."""
        try:
            yield
        except (OSError, RuntimeError, EOFError, UnpicklingError, *_WRONG_CONTENT) as error:
            self._failure = self._failure or f"{path}: {_cause(error)}"


def _read(path: Path) -> dict:
    """Return the content of a file of data; its tensors stay on the disk until they are used.

    Raises:
        OSError, RuntimeError, EOFError, UnpicklingError, ValueError: the file can't be read, or holds more than data.
    """
    with torch.serialization.safe_globals(_CLASSES):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _cause(error: BaseException) -> str:
    """Return the reason in one line; the system's own message if torch's error hides it.

    Torch's own message on a file that names code advises to run that code.
    """
    if isinstance(error, UnpicklingError):
        named = _NAMED.search(str(error))
        return f"it holds more than data, so it was not read{f' (it names {named[1]})' if named else ''}"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _engine_file(folder: Path, engine: str, rank: int) -> Path:
    return folder / engine / f"rank-{rank:04d}.pt"


def _random_file(folder: Path, rank: int) -> Path:
    return folder / f"rng-{rank:04d}.pt"


def _random_states() -> dict:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _restore_random_states(states: dict) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
