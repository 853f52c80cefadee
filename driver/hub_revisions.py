"""Pin models of the Hugging Face hub to a commit: every process of a run, and every later start, loads the same.

A pinned model is written `owner/name@commit`. The commit is what the hub says now; without a connection, what the local
cache of the hub has.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, RevisionNotFoundError
from huggingface_hub.file_download import repo_folder_name

from cluster.preflight.models import why_unusable
from contracts.config.run import Config
from contracts.config.section import Section
from contracts.errors import BadInput, refuse_all
from contracts.model_names import name_and_revision

_TIMEOUT_S = 10.0
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DEFAULT_BRANCH = "main"
_MODELS = (
    *(("policy", "model"), ("pivot", "model"), ("scorer", "model"), ("critic", "model")),
    *(("comet", "model"), ("comet", "encoder"), ("translator", "model")),
)


def with_pinned_models(config: Config, sections: tuple[str, ...], *, before: Config | None = None) -> Config:
    """Return the config with the hub models of these sections pinned to a commit.

    A model whose commit nobody says, and that may be readable all the same, stays as it is.

    Args:
        config: with absolute paths.
        sections: those whose models are loaded.
        before: the config of the run's last start, whose commits are kept; None for a new run.

    Raises:
        BadInput: the hub or the cache has no such revision, or a model can be neither downloaded nor
            read from the cache; a line for each model.
    """
    mistakes: list[BadInput] = []
    for section, key, model in _hub_models(config, sections):
        earlier = getattr(getattr(before, section), key) if before is not None else None
        own: Section = getattr(config, section)
        try:
            pinned = own.model_copy(update={key: _pinned(model, earlier, key=f"{section}.{key}")})
            config = config.model_copy(update={section: pinned})
        except BadInput as mistake:
            mistakes.append(mistake)
    refuse_all(mistakes)
    return config


def _hub_models(config: Config, sections: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield section, key and value of every model that is a name on the hub."""
    for section, key in _MODELS:
        model = getattr(getattr(config, section), key)
        if section in sections and model is not None and not Path(model).is_dir():
            yield section, key, model


def _pinned(model: str, earlier: str | None, *, key: str) -> str:
    name, revision = name_and_revision(model)
    if revision and _COMMIT.fullmatch(revision):
        return model
    if earlier is not None and revision is None:
        earlier_name, earlier_commit = name_and_revision(earlier)
        if earlier_name == name and earlier_commit is not None:
            return earlier
    commit = _commit(name, revision or _DEFAULT_BRANCH, key)
    if commit is None and revision is not None:
        raise BadInput(
            f"{key} = {model!r}: neither the hub nor its cache on this machine ({constants.HF_HUB_CACHE}) says which "
            f"commit {revision!r} is; give the commit itself, or connect this machine",
            key=key,
        )
    if commit is None and (why := why_unusable(model)) is not None:  # loading it would find that out after a minute
        raise BadInput(f"{key} = {model!r} {why}", key=key)
    return model if commit is None else f"{name}@{commit}"


def _commit(name: str, revision: str, key: str) -> str | None:
    """Return the commit of a branch or tag; None where neither the hub nor the cache knows it.

    Raises:
        BadInput: the hub has no such revision.
    """
    try:
        if (found := HfApi().model_info(name, revision=revision, timeout=_TIMEOUT_S).sha) is not None:
            return found
    except RevisionNotFoundError:
        raise BadInput(
            f"{key}: {name} has no revision {revision!r} on the hub; give a branch, a tag or a commit of it", key=key
        ) from None
    except (HTTPError, OfflineModeIsEnabled, HFValidationError, OSError):
        pass
    return _cached_commit(name, revision)


def _cached_commit(name: str, revision: str) -> str | None:
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None
