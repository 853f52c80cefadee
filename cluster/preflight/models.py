"""Find out whether a model can be loaded on this machine, without loading it."""

import os
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from contracts.model_names import name_and_revision

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf")


def why_unusable(model: str) -> str | None:
    """Return why the model can't be read here, as the end of a sentence; None if nothing speaks against it."""
    return _why_unreadable(Path(model)) if Path(model).is_absolute() else _why_unreachable(model)


def is_here(model: str) -> bool:
    """Return whether the weights of a model are on this machine: in its folder, or in the hub's cache."""
    folder = Path(model)
    if folder.is_dir():
        return _why_unreadable(folder) is None
    name, _ = name_and_revision(model)
    return any(file.suffix in _WEIGHTS for file in _snapshots(name).glob("*/*"))


def _why_unreadable(folder: Path) -> str | None:
    if not folder.is_dir():
        return "is not on this node; copy it there, or put it on a file system that all nodes share"
    if not os.access(folder, os.R_OK | os.X_OK):
        return "can't be opened by this user"
    files = [*folder.glob("*"), *folder.glob("*/*")]  # modules of an encoder, and a COMET checkpoint, lie a level below
    weights = [file for file in files if file.suffix in _WEIGHTS]
    if not weights:
        return "has no weights on this node"
    closed = [file.name for file in (*weights, *folder.glob("*.json")) if not os.access(file, os.R_OK)]
    return f"has files that can't be read here ({', '.join(sorted(closed)[:3])})" if closed else None


def _why_unreachable(model: str) -> str | None:
    """Return why a model of the hub can be neither read from the cache here nor downloaded."""
    name, _ = name_and_revision(model)
    if any(_snapshots(name).glob("*/*")):
        return None
    try:
        HfApi().auth_check(name)
    except GatedRepoError:
        return (
            "is gated, and the hub does not let this node download it; accept its terms on its page, and set HF_TOKEN "
            "in the shell of the run"
        )
    except RepositoryNotFoundError:
        return "is not on the hub, or it is private and HF_TOKEN is not set"
    except HFValidationError:
        return "is neither a folder nor a name on the hub"
    except (OfflineModeIsEnabled, HfHubHTTPError, HTTPError, OSError) as failure:
        reason = type(failure).__name__
        return (
            f"is not in the hub's cache of this node ({constants.HF_HUB_CACHE}), and the hub can't be asked ({reason})"
        )
    return None


def _snapshots(name: str) -> Path:
    """Return the folder of the hub's cache in which every downloaded revision of a model has a folder."""
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots"
