"""Save and load a learner's state: DeepSpeed's ZeRO-3 shards of each engine, and the random state of every rank.

`load_shards` reads the folder that `save_shards` filled, with the same number of ranks or another. Several nodes need a
folder that each of them reaches. All ranks call both functions together. If one rank fails, all ranks agree on it
before any of them raises, so that no rank waits in one of DeepSpeed's barriers.

    ranks.json               number of ranks, names of the engines
    rng-0000.pt              a rank's random states
    <engine>/...             the shards, under DeepSpeed's own names

While another number of ranks loads, DeepSpeed's universal checkpoint of each engine lies beside the checkpoint that
holds the folder: step-000010.universal/<engine>/...

Frozen parameters are left out: they are those of the model's own folder (the base weights under LoRA). The files are
torch's, which are pickles. A pickle can name any function to be called, so only tensors, plain values and the few
classes of `_CLASSES` are read.
"""

import json
import os
import random
import re
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import numpy as np
import torch
import torch.distributed as dist
from deepspeed.checkpoint.ds_to_universal import main as convert_to_universal
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
from deepspeed.runtime.engine import DeepSpeedEngine
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from torch import nn
from torch.optim import Optimizer

from contracts.errors import CheckpointFailed, RunFailed

FACTS = "ranks.json"
_UNIVERSAL = "universal"
_CLASSES: list[Callable | tuple[Callable, str]] = [
    *(LossScaler, ZeroStageEnum),  # of an optimizer's shard
    *(
        cast("Callable", np.empty(0).__reduce__()[0]),
        np.ndarray,
        np.dtype,
        np.dtypes.UInt32DType,
    ),  # NumPy's random state
]
"""What a file may name beside torch's own tensors. None of it runs code that a file brings."""
_NAMED = re.compile(r"GLOBAL (\S+)")


_WRONG_CONTENT = (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError)
"""What a file raises that can be read and holds something else; the last one comes from DeepSpeed's converter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """Hold what a rank must know before it reads a shard."""

    num_ranks: int
    engines: tuple[str, ...]


def save_shards(engines: Mapping[str, DeepSpeedEngine], folder: Path, *, rank: int) -> None:
    """Write the complete state of the engines, which can go on afterwards.

    Raises:
        CheckpointFailed: a rank could not write; raised on every rank, with the file and the reason.
    """
    files = ShardFiles()
    files.makedirs(str(folder))
    for name, engine in engines.items():
        with _through(engine, files):
            engine.save_checkpoint(str(folder), tag=name, save_latest=False, exclude_frozen_parameters=True)
    files.save(_random_states(), str(_random_file(folder, rank)))
    if rank == 0:
        files.write_text(folder / FACTS, json.dumps({"num_ranks": dist.get_world_size(), "engines": list(engines)}))
    if failures := _agreed(files.failure):
        raise CheckpointFailed("; ".join(failures))


def load_shards(engines: Mapping[str, DeepSpeedEngine], folder: Path, *, rank: int, world_size: int) -> None:
    """Load what `save_shards` wrote into engines that have not stepped yet.

    With the same number of ranks each rank reads its own shards, and training continues bit for bit. With another
    number it goes through DeepSpeed's universal checkpoint, which rank 0 makes and removes again; each rank then takes
    the random state of one of the saved ranks.

    Raises:
        RunFailed: a rank could not read, a file holds more than data, or the folder holds other engines; raised on
            every rank.
    """
    with _data_only():
        _load_shards(engines, folder, rank=rank, world_size=world_size)


def _load_shards(engines: Mapping[str, DeepSpeedEngine], folder: Path, *, rank: int, world_size: int) -> None:
    files = ShardFiles()
    facts = files.read_facts(folder / FACTS)
    _raise_together(files)
    if set(facts.engines) != set(engines):
        raise RunFailed(
            f"{folder} holds the state of {', '.join(facts.engines)}, but this learner has {', '.join(engines)}; "
            "set algorithm.name back",
            key="algorithm.name",
        )
    is_resharded = facts.num_ranks != world_size
    universal = folder.parent.with_name(f"{folder.parent.name}.{_UNIVERSAL}")
    states = files.load(str(_random_file(folder, rank % facts.num_ranks)))
    if is_resharded and rank == 0:
        files.reshard(folder, universal, facts.engines)
    _raise_together(files)
    for name, engine in engines.items():
        source = universal if is_resharded else folder
        # From a universal checkpoint, DeepSpeed reads schedule and counters from rank 0's file on every rank.
        files.read_ahead(source / name, rank=0 if is_resharded else rank)
        if not is_resharded:  # a universal checkpoint is read parameter by parameter, in any groups
            files.check_groups(source / name, num_groups=len(_adam(engine).param_groups))
        _raise_together(files)
        with _universal(engine, is_resharded):
            _load_engine(engine, source, name, files=files)
    dist.barrier()
    if is_resharded and rank == 0:
        shutil.rmtree(universal, ignore_errors=True)
    _raise_together(files)
    _restore_random_states(states)


class ShardFiles(TorchCheckpointEngine):
    """Read and write files for DeepSpeed. A failure is kept until all ranks agree on it, or they would hang.

    Files are read before DeepSpeed asks for them, so that a file that can't be read is known while all ranks can still
    agree.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failure = ""
        self._ahead: dict[str, dict] = {}

    def makedirs(self, path: str, exist_ok: bool = True) -> None:
        """Create a folder with its parents."""
        with self._keeping(path):
            os.makedirs(path, exist_ok=exist_ok)

    def save(self, state_dict: dict, path: str) -> None:
        """Write and sync a file. After a failure nothing more is written."""
        if self.failure:
            return
        with self._keeping(path), open(path, "wb") as file:
            torch.save(state_dict, file)
            file.flush()
            os.fsync(file.fileno())

    def write_text(self, path: Path, text: str) -> None:
        """Write a text file."""
        with self._keeping(str(path)), path.open("w", encoding="utf-8") as file:
            file.write(text)

    def read_facts(self, path: Path) -> _Facts:
        """Read the facts; after a failure they are empty."""
        with self._keeping(str(path)):
            found = json.loads(path.read_text(encoding="utf-8"))
            if (num_ranks := int(found["num_ranks"])) < 1:
                raise ValueError(f"num_ranks is {num_ranks}")
            return _Facts(num_ranks=num_ranks, engines=tuple(found["engines"]))
        return _Facts(num_ranks=0, engines=())

    def read_ahead(self, folder: Path, *, rank: int) -> None:
        """Read the shards of a rank into memory."""
        self._ahead = {}
        for path in sorted(folder.glob(f"*zero_pp_rank_{rank}_mp_rank_00_*.pt")):
            self._ahead[str(path)] = self.load(str(path))
        if not self._ahead and not self.failure:
            self.failure = f"{folder} has no shard of rank {rank}"

    def check_groups(self, folder: Path, *, num_groups: int) -> None:
        """Check that the shards that were read ahead have as many parameter groups as the optimizer."""
        saved = [shard["optimizer_state_dict"] for shard in self._ahead.values() if "optimizer_state_dict" in shard]
        found = [len(states["optimizer_state_dict"]["param_groups"]) for states in saved]
        if any(number != num_groups for number in found) and not self.failure:
            self.failure = (
                f"{folder} was written by a version of the project with {found[0]} parameter group(s) where this one "
                f"has {num_groups}: with learner.weight_decay, norms and biases are a group of their own; continue the "
                "run with that version"
            )

    def load(self, path: str, map_location: object = None) -> dict:
        """Return the content of a file, read ahead or now; after a failure it is empty."""
        if path in self._ahead:
            return self._ahead[path]
        with self._keeping(path):
            return torch.load(path, map_location="cpu", weights_only=True)
        return {}

    def reshard(self, folder: Path, universal: Path, engines: tuple[str, ...]) -> None:
        """Make DeepSpeed's universal checkpoint of each engine: every parameter whole, in files of its own."""
        for path in (path for name in engines for path in sorted((folder / name).glob("*.pt"))):
            with self._keeping(str(path)):  # DeepSpeed would not name the file that it can't read
                torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if self.failure:
            return
        with self._keeping(str(universal)):
            shutil.rmtree(universal, ignore_errors=True)  # left by a start that was killed
            for name in engines:
                convert_to_universal(
                    Namespace(
                        input_folder=str(folder / name),
                        output_folder=str(universal / name),
                        num_extract_workers=1,
                        num_merge_workers=1,
                        keep_temp_folder=False,
                        strict=True,
                        inject_missing_state=True,
                    )
                )

    @contextmanager
    def _keeping(self, path: str) -> Iterator[None]:
        """Keep the first failure. torch reports a failed read or write as a RuntimeError with the cause as context."""
        try:
            yield
        except (OSError, RuntimeError, EOFError, UnpicklingError, *_WRONG_CONTENT) as error:
            self.failure = self.failure or f"{path}: {_cause(error)}"


def _load_engine(engine: DeepSpeedEngine, source: Path, name: str, *, files: ShardFiles) -> None:
    decays = [group["weight_decay"] for group in _adam(engine).param_groups]
    with _through(engine, files):
        engine.load_checkpoint(str(source), tag=name, custom_load_fn=_load_module)
    # The universal loader gives all parameter groups the same tensor as step count; each group would increment it.
    for state in _adam(engine).state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()
    # It also gives all of them the settings of the first group.
    for group, decay in zip(_adam(engine).param_groups, decays, strict=True):
        group["weight_decay"] = decay


def _adam(engine: DeepSpeedEngine) -> Optimizer:
    """Return the optimizer inside DeepSpeed's own."""
    found = getattr(engine.optimizer, "optimizer", None)
    assert isinstance(found, Optimizer), f"a frozen engine has no shards to load, got {type(found).__name__}"
    return found


def _load_module(*, src: Mapping[str, torch.Tensor], dst: nn.Module) -> None:
    """Load the buffers, and check the names of all parameters; frozen parameters are not in the file.

    Raises:
        RunFailed: the file is of another model.
    """
    found = dst.load_state_dict(src, strict=False)
    frozen = {name for name, parameter in dst.named_parameters(remove_duplicate=False) if not parameter.requires_grad}
    if wrong := [*found.unexpected_keys, *(name for name in found.missing_keys if name not in frozen)]:
        raise RunFailed(
            f"the checkpoint is of another model: {wrong[0]} and {len(wrong) - 1} more don't match", key=wrong[0]
        )


@contextmanager
def _through(engine: DeepSpeedEngine, files: ShardFiles) -> Iterator[None]:
    """Let DeepSpeed reach the disk through `files` only.

    On rank 0 it would also copy two scripts of its own beside the shards: on a full disk that raises while the other
    ranks go on to a barrier.
    """
    before = engine.checkpoint_engine
    engine.checkpoint_engine = files
    engine._copy_recovery_script = lambda save_path: None
    try:
        yield
    finally:
        engine.checkpoint_engine = before
        del engine._copy_recovery_script


@contextmanager
def _universal(engine: DeepSpeedEngine, is_universal: bool) -> Iterator[None]:
    """Set the kind of checkpoint to load. DeepSpeed takes it when it is built, when the kind is not known yet."""
    config = engine._config
    assert config is not None
    before = config.load_universal_checkpoint
    config.load_universal_checkpoint = is_universal
    try:
        yield
    finally:
        config.load_universal_checkpoint = before


@contextmanager
def _data_only() -> Iterator[None]:
    """Let torch.load run no code of a file, in this process, also where DeepSpeed asks it to read everything."""
    asked = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
    before = {name: os.environ.get(name) for name in asked}
    os.environ.update(asked)
    try:
        with torch.serialization.safe_globals(_CLASSES):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _agreed(failure: str) -> list[str]:
    """Return what failed on any rank, in the order of the ranks; the same list on all ranks. A collective."""
    failures: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(failures, failure)
    return [f"{failure} (rank {rank})" for rank, failure in enumerate(failures) if failure]


def _raise_together(files: ShardFiles) -> None:
    """Raise on all ranks if one of them failed. A collective.

    Raises:
        RunFailed: a rank could not read.
    """
    if failures := _agreed(files.failure):
        raise RunFailed(f"the learner's checkpoint can't be read: {'; '.join(failures)}", key="checkpoint")


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
