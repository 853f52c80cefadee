"""Identify a model by every file that decides what it does: weights, configs, tokenizer, chat template.

A file's sum is kept with the state that the file was in, so that only the first start reads all weights.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from blake3 import blake3

from contracts.errors import BadInput
from contracts.files import write_whole
from contracts.model_names import name_and_revision
from contracts.paths import absolute

FOLDER = ".cache/fingerprints"
"""Where the sums of large files are kept, a file for each model folder."""

_READ = (
    *("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf"),  # weights
    *("*.json", "*.yaml", "*.jinja"),  # config, generation config, tokenizer, chat template
    *("*.model", "*.tiktoken", "vocab.*", "merges.txt"),  # the tokenizer in other forms
)
_NOT_READ = (  # what trainers and exports leave beside a model, and no library loads
    *("training_args.*", "optimizer*", "scheduler*", "scaler*", "rng_state*", "trainer_state.json", "*_results.json"),
    *("manifest.json", "*-manifest.json"),
)
_NOT_ENTERED = ("checkpoint-*", "onnx", "openvino", "original", "coreml", "runs", "logs")
_CODE = "*.py"
_THREADS = 4
_CHUNK = 4 << 20  # bytes that are read at once
_LARGE = 16 << 20  # bytes; the sum of a smaller file is not kept: reading it again takes no time
_SETTLED_S = 2.0
"""A sum is kept only of a file that was last changed this long ago: a change within one tick of a file system's clock
leaves no trace in the file's times."""

_State = tuple[int, ...]  # size, times of the last change of content and of inode, inode


def model_fingerprint(model: str, *, with_code: bool = False) -> str:
    """Return a digest of a local folder's files, wherever it is; of a model on the hub, of its commit or its name.

    Files that no library loads, such as README.md, are no part of it.

    Args:
        model: a local folder, or a name on the hub, with a revision or without.
        with_code: whether code that comes with the model is run, and so is a part of what the model does.

    Raises:
        BadInput: a file can't be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    if not (folder := Path(model)).is_dir():
        name, revision = name_and_revision(model)
        digest.update((revision or name).encode())
        return digest.hexdigest()
    try:
        sums = _sums(folder, sorted(_files(folder, with_code=with_code)))
    except OSError as error:
        raise BadInput(
            f"{error.filename or folder}: a file of the model {model} can't be read ({error.strerror or error}); make "
            "the folder complete and readable",
            key=model,
        ) from None
    for name, found in sums.items():
        digest.update(f"{name} {found}\n".encode())
    return digest.hexdigest()


def _files(folder: Path, *, with_code: bool) -> Iterator[str]:
    """Yield the paths of the files that are loaded, within the folder."""
    wanted = (*_READ, _CODE) if with_code else _READ
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_one_of(name, _NOT_ENTERED)]
        for name in names:
            if _is_one_of(name, wanted) and not _is_one_of(name, _NOT_READ) and not name.startswith("."):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _sums(folder: Path, names: list[str]) -> dict[str, str]:
    """Return the sum of each file by name; only files that changed since they were last read are read."""
    states = {name: _state(folder / name) for name in names}
    kept = _read_kept(folder)
    known = {name: kept[name][1] for name in names if name in kept and kept[name][0] == states[name]}
    missing = [name for name in names if name not in known]
    now_ns = time.time_ns()
    with ThreadPoolExecutor(_THREADS) as threads:
        found = dict(zip(missing, threads.map(lambda name: _sum(folder / name), missing), strict=True))
    worth_keeping = {
        name: (states[name], found[name])
        for name in missing
        if states[name][0] >= _LARGE
        and now_ns - max(states[name][1:3]) > _SETTLED_S * 1e9
        and _state(folder / name) == states[name]  # it did not change while it was read
    }
    if worth_keeping:
        still = {name: kept[name] for name in known}
        _keep(folder, still | worth_keeping)
    return {name: known.get(name) or found[name] for name in names}


def _state(path: Path) -> _State:
    """Return what changes with every write to a file, and where another file takes its place."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _sum(path: Path) -> str:
    digest, buffer = blake3(), bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(view[:size])
    return digest.hexdigest()


# --- sums of an earlier start -----------------------------------------------------------------------------------------


def _read_kept(folder: Path) -> dict[str, tuple[_State, str]]:
    """Return what is known of the folder's large files; nothing where the record is missing or damaged."""
    try:
        record = json.loads(_record(folder).read_text(encoding="utf-8"))
        return {name: (tuple(state), found) for name, (state, found) in record.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(folder: Path, sums: Mapping[str, tuple[_State, str]]) -> None:
    """Keep the sums for the next start. Where that is not possible, the next start reads the files again."""
    path = _record(folder)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(sums), is_shared=True)


def _record(folder: Path) -> Path:
    digest = hashlib.blake2b(str(folder.absolute()).encode(), digest_size=16).hexdigest()
    return absolute(FOLDER) / f"{digest}.json"
