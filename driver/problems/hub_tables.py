"""Read datasets of the Hugging Face hub, and local folders in their form."""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from contracts.errors import BadInput
from contracts.user_files import guarded
from driver.problems.tables import Row

if TYPE_CHECKING:
    import datasets

_TIMEOUT_S = 10.0
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WAY_OUT = (
    "give a dataset of Parquet, JSON or CSV files (the library runs no loading scripts; for MGSM there is "
    'data.source="mgsm")'
)


class HuggingFaceTable:
    """Read one split of a Hugging Face dataset: it is memory-mapped Arrow already, so a row is read on demand."""

    def __init__(self, dataset: "datasets.Dataset", *, name: str) -> None:
        self._dataset = dataset
        self._name = name

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def columns(self) -> Sequence[str]:
        return self._dataset.column_names

    def rows(self) -> Iterator[Row]:
        rows = iter(self._dataset)
        for number in range(len(self)):
            with self._guarded(number):
                row = next(rows)
            yield cast("Row", row)

    def row(self, number: int) -> Row:
        with self._guarded(number):
            return self._dataset[number]

    def where(self, number: int) -> str:
        return f"dataset {self._name}, row {number + 1}"

    def _guarded(self, number: int) -> AbstractContextManager[None]:
        return guarded(self.where(number), key=self._name, way_out="correct this row of the dataset")


def open_huggingface(
    path: str, *, split: str, subset: str | None = None, revision: str | None = None
) -> HuggingFaceTable:
    """Open a dataset by its hub name, a local folder of data files, or a folder that `save_to_disk` wrote.

    `subset` is the dataset's configuration, `revision` a branch, tag or commit; None: the default one, the newest. With
    HF_HUB_OFFLINE it is read from the cache of this machine, of that revision only.

    Raises:
        BadInput: no such dataset, revision, configuration or split; the hub can't be asked; or the library can't read
            it.
    """
    commit = None if Path(path).exists() else _commit(path, revision)
    # The import takes two seconds, and only this source needs it.
    import datasets  # noqa: PLC0415

    with guarded(f"the dataset {path!r}, split {split!r}, can't be opened", key=path, way_out=_WAY_OUT):
        if (Path(path) / "state.json").exists():
            loaded = datasets.load_from_disk(path)
        elif (Path(path) / split / "state.json").exists():
            loaded = datasets.load_from_disk(str(Path(path) / split))
        else:
            loaded = datasets.load_dataset(path, name=subset, split=split, revision=commit)
    if not isinstance(loaded, datasets.Dataset):
        raise BadInput(f"the dataset {path!r} has several splits; choose one, such as data.split=train", key="split")
    if revision is not None and commit is not None:
        _check_commit(loaded, commit, path=path, revision=revision)
    return HuggingFaceTable(loaded, name=f"{path}, split {split}")


def _commit(name: str, revision: str | None) -> str | None:
    """Return the commit of a dataset's revision; None where the newest one of the cache is to be read, offline.

    Asked here, because the library retries for half a minute where nobody answers, and then reads any revision that is
    in its cache.

    Raises:
        BadInput: there is no such dataset or revision, or the hub can't be asked.
    """
    try:
        return HfApi().dataset_info(name, revision=revision, timeout=_TIMEOUT_S).sha
    except RevisionNotFoundError:
        raise BadInput(
            f"the dataset {name!r} has no revision {revision!r} on the hub; give a branch, a tag or a commit of it",
            key="revision",
        ) from None
    except GatedRepoError:
        raise BadInput(
            f"the dataset {name!r} is gated: accept its terms on its page, and set HF_TOKEN in the shell of the run",
            key=name,
        ) from None
    except RepositoryNotFoundError:
        raise BadInput(
            f"there is no dataset {name!r} on the hub, or it is private and HF_TOKEN is not set, and no such folder",
            key=name,
        ) from None
    except HFValidationError:
        raise BadInput(f"{name!r} is neither a folder nor a dataset's name on the hub", key=name) from None
    except OfflineModeIsEnabled:
        return None if revision is None else _cached_commit(name, revision)
    except (HTTPError, OSError) as failure:
        raise BadInput(
            f"the hub can't be asked for the dataset {name!r} ({type(failure).__name__}); connect this machine, or set "
            "HF_HUB_OFFLINE=1 to read what its cache has",
            key=name,
        ) from None


def _cached_commit(name: str, revision: str) -> str:
    """Return the commit of a revision as the cache of this machine has it.

    Raises:
        BadInput: it does not have it.
    """
    if _COMMIT.fullmatch(revision):
        return revision
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="dataset")
    try:
        return (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise BadInput(
            f"HF_HUB_OFFLINE is set, and the cache of this machine ({constants.HF_HUB_CACHE}) does not say which "
            f"commit of the dataset {name!r} {revision!r} is; unset it, or give the commit",
            key="revision",
        ) from None


def _check_commit(loaded: "datasets.Dataset", commit: str, *, path: str, revision: str) -> None:
    """Check that a dataset that was read is of a commit: offline, the library reads the newest of its cache.

    Raises:
        BadInput: it is of another one.
    """
    folders = [Path(file["filename"]).parent.name for file in loaded.cache_files]
    if found := [name for name in folders if _COMMIT.fullmatch(name) and name != commit]:
        raise BadInput(
            f"the cache of this machine has the dataset {path!r} at commit {found[0]}, and revision {revision!r} is "
            f"{commit}; unset HF_HUB_OFFLINE, or give the other commit",
            key="revision",
        )
