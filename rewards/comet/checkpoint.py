"""Find a COMET checkpoint on disk or on the hub, read it safely and convert it once to safetensors.

A .ckpt is a pickle, which can run any program when it is read. So it is read once, with torch's restricted unpickler,
and only tensors are taken from it. The converted file is written beside the checkpoint, or in a cache folder where that
can't be written. It records which file it was made of, and is made again for another one.
"""

import hashlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from contracts.files import whole_file
from contracts.model_names import name_and_revision
from rewards.comet.settings import CometSettings, read_settings

CONVERSION = "1"
"""Version of the names below. A converted file with another number is made again."""

_PLACES = ("checkpoints/model.ckpt", "model.ckpt")
_FILES = ["hparams.yaml", *_PLACES, "README.md", "LICENSE*"]
# Name in the package's checkpoint -> name in our network, by prefix; the longest that fits counts.
_RENAMED = {
    "encoder.model.": "encoder.",
    "layerwise_attention.scalar_parameters.": "mix.scalars.",
    "layerwise_attention.gamma": "mix.gamma",
    "estimator.ff.": "head.",
}
# What a score doesn't need: buffers that are made anew, a pooler that no pooling reads, dropout, parts of training.
_DROPPED = (
    "encoder.model.embeddings.position_ids",
    "encoder.model.embeddings.token_type_ids",
    "encoder.model.pooler.",
    "layerwise_attention.dropout_",
    "hidden2tag.",
    "wordloss.",
)


class _Inert(dict):
    """Take the place of a class of the training library that old checkpoints mention; do nothing."""


# Classes that the .ckpt of a Lightning run may mention beside tensors and plain values, by their pickled name.
_HARMLESS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    (_Inert, name)
    for name in (
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "lightning.fabric.utilities.data.AttributeDict",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
        "argparse.Namespace",
    )
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Hold the files of a model that is ready to be loaded."""

    folder: Path
    name: str  # as the user gave it
    settings: CometSettings
    weights: Path  # safetensors, with our network's names
    sha256: str  # of the .ckpt


def open_checkpoint(folder_or_name: str, *, cache_folder: Path) -> Checkpoint:
    """Find a model by its folder or its name on the hub, and convert its weights where that was not done yet.

    Raises:
        ValueError: the model is missing, gated, of a kind that is not supported, or not safe to read; in one line.
    """
    folder = _find_folder(folder_or_name)
    hparams = folder / "hparams.yaml"
    if not hparams.is_file():
        raise ValueError(f"{folder} holds no hparams.yaml; a COMET model has hparams.yaml and checkpoints/model.ckpt")
    settings = read_settings(hparams)
    source = next((folder / place for place in _PLACES if (folder / place).is_file()), None)
    if source is None:
        raise ValueError(f"{folder} holds no checkpoints/model.ckpt; download the whole model")
    weights, sha256 = converted(source, cache_folder=cache_folder)
    return Checkpoint(folder=folder, name=folder_or_name, settings=settings, weights=weights, sha256=sha256)


def converted(source: Path, *, cache_folder: Path) -> tuple[Path, str]:
    """Return the safetensors file made of the checkpoint `source`, and the sha256 of `source`.

    Raises:
        ValueError: `source` can't be read safely, or no folder for the converted file can be written.
    """
    beside = source.with_suffix(".safetensors")
    key = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:16]
    cached = cache_folder / "comet" / f"{key}.safetensors"
    for place in (beside, cached):
        if sha256 := _made_of(source, place):
            return place, sha256
    tensors = renamed(_read_safely(source), where=str(source))
    sha256 = _sha256(source)
    written = next((place for place in (beside, cached) if _write(place, tensors, source=source, sha256=sha256)), None)
    if written is None:
        raise ValueError(f"neither {beside.parent} nor {cached.parent} can be written; make one of them writable")
    return written, sha256


def renamed(state: Mapping[str, torch.Tensor], *, where: str) -> dict[str, torch.Tensor]:
    """Return the tensors that a score needs, under our network's names.

    Raises:
        ValueError: there are tensors of no known use; the message names them.
    """
    tensors: dict[str, torch.Tensor] = {}
    unknown: list[str] = []
    for name, tensor in state.items():
        if name.startswith(_DROPPED):
            continue
        prefix = next((prefix for prefix in _RENAMED if name.startswith(prefix)), None)
        if prefix is None:
            unknown.append(name)
        else:
            tensors[_RENAMED[prefix] + name.removeprefix(prefix)] = tensor.contiguous()
    if unknown:
        raise ValueError(f"{where} has unknown tensors: {listed(unknown)}; it is not a COMET model that is supported")
    return tensors


def listed(names: Sequence[str], *, most: int = 6) -> str:
    """Return the first `most` names and how many more there are, as one text."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _find_folder(folder_or_name: str) -> Path:
    folder = Path(folder_or_name).expanduser()
    if folder.is_dir():
        return folder
    try:
        name, revision = name_and_revision(folder_or_name)
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
    except GatedRepoError as error:
        raise ValueError(
            f"{folder_or_name} is gated: accept its licence on its page on the hub, then log in with `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ValueError(f"{folder_or_name} is neither a folder here nor a model on the hub") from error
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"{folder_or_name} is no folder here and could not be downloaded ({type(error).__name__}); name a local "
            "folder with hparams.yaml and checkpoints/model.ckpt"
        ) from error


def _read_safely(source: Path) -> dict[str, torch.Tensor]:
    """Return the `state_dict` of a Lightning checkpoint without running anything that the file asks for.

    Raises:
        ValueError: the file asks for more than tensors and plain values, is damaged, or holds no such tensors.
    """
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            found = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line), "it is no plain pickle")
        raise ValueError(f"{source} is refused: it asks for more than tensors and plain values ({reason})") from error
    except (RuntimeError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{source} can't be read ({reason}); download it again") from error
    state = found.get("state_dict") if isinstance(found, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ValueError(f"{source} holds no state_dict of tensors; it is no checkpoint of a COMET model")
    return dict(state)


def _made_of(source: Path, place: Path) -> str | None:
    """Return the sha256 of `source` where `place` was made of it.

    Returns None where `place` is missing, damaged or made of another file.
    """
    if not place.is_file():
        return None
    try:
        with safe_open(place, framework="pt") as file:
            said = file.metadata() or {}
    except (SafetensorError, OSError):
        return None
    status = source.stat()
    if said.get("conversion") != CONVERSION or said.get("source_bytes") != str(status.st_size):
        return None
    # A copied folder has new times but the same bytes.
    is_same = said.get("source_mtime_ns") == str(status.st_mtime_ns) or said.get("source_sha256") == _sha256(source)
    return said.get("source_sha256") if is_same else None


def _write(place: Path, tensors: dict[str, torch.Tensor], *, source: Path, sha256: str) -> bool:
    """Write the tensors as a whole file; return False where the folder can't be written."""
    status = source.stat()
    metadata = {
        "conversion": CONVERSION,
        "source_bytes": str(status.st_size),
        "source_mtime_ns": str(status.st_mtime_ns),
        "source_sha256": sha256,
    }
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(place, is_shared=True) as aside:
            save_file(tensors, aside, metadata=metadata)
    except (OSError, SafetensorError):
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
