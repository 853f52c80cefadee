"""Check the weight files of a local model folder: all there, and none cut off. Only headers are read."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open

from contracts.errors import BadInput
from contracts.user_files import guarded, read_user_json

_INDEXES = "*.index.json"
_AGAIN = "download or copy the model again"


def check_weights(model: str, *, key: str) -> None:
    """Check that every shard which an index names is there, and that every safetensors file is whole.

    A model on a hub is checked when it is loaded.

    Raises:
        BadInput: the first file that is missing or damaged.
    """
    folder = Path(model)
    if not folder.is_dir():
        return
    tensors = {file.name: tensor_names(file, key=key) for file in sorted(folder.glob("*.safetensors"))}
    for index in sorted(folder.glob(_INDEXES)):
        shards = _weight_map(index, key=key)
        for name, shard in shards.items():
            if not (folder / shard).is_file():
                raise BadInput(f"{index} names {shard}, which is missing; {_AGAIN}", key=key)
            if shard in tensors and name not in tensors[shard]:
                raise BadInput(f"{folder / shard} lacks {name}, which {index.name} names; {_AGAIN}", key=key)


def tensor_names(file: Path, *, key: str) -> set[str]:
    """Return the names of the tensors in a safetensors file.

    Raises:
        BadInput: the file is damaged or cut off.
    """
    with guarded(f"{file} can't be read as safetensors", key=key, way_out=_AGAIN):
        if not file.is_file():
            raise IsADirectoryError(f"{file.name} is not a file")
        with safe_open(file, framework="np") as tensors:
            return set(tensors.keys())


def _weight_map(index: Path, *, key: str) -> Mapping[str, str]:
    """Return the shard of each tensor."""
    found = read_user_json(index, key=key, way_out=_AGAIN)
    shards = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
        raise BadInput(f"{index} has no weight_map of tensors to files; {_AGAIN}", key=key)
    return shards
