"""Upload a trained model to the Hugging Face hub, and check before the run that the upload can succeed.

The hub's own client waits without a limit, so every call here has a deadline.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] - of whatever library it calls the hub with
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars, validate_repo_id

from contracts.config.learning import ExportConfig
from contracts.errors import BadInput, RunFailed

Answer = TypeVar("Answer")

CHECK_S = 60.0
"""Deadline of each check before the start, in seconds."""
_START_S = 600.0
_LEAST_BYTES_PER_S = 250_000  # a slow uplink: 2 Mbit/s
_KEY = "export.hub_repo"


class HubFailed(Exception):
    """Say in one line why the hub refused or could not be reached."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Hold the owner of a token."""

    name: str
    organisations: tuple[str, ...]
    role: str  # "read", "write", or "fineGrained": only trying shows what such a token may do


class Hub(Protocol):
    """Answer a run's questions to the hub. Every method raises HubFailed."""

    def account(self) -> Account:
        """Return the owner of the token in use."""
        ...

    def is_private(self, repo: str) -> bool | None:
        """Return whether a model is private; None where there is none that this account can see."""
        ...

    def create(self, repo: str, *, private: bool) -> str:
        """Create the model's repository unless it exists, and return its address."""
        ...

    def send(self, folder: Path, repo: str) -> None:
        """Upload a folder's files in one commit, which also removes the weights of an upload before."""
        ...


class HuggingFaceHub:
    """Talk to the real hub: the one that HF_ENDPOINT names, else huggingface.co."""

    def __init__(self, *, check_s: float = CHECK_S) -> None:
        self._api = HfApi()
        self._check_s = check_s

    def account(self) -> Account:
        found = self._ask("whoami", self._check_s, self._api.whoami)
        token = found.get("auth", {}).get("accessToken", {})
        return Account(
            name=str(found["name"]),
            organisations=tuple(str(organisation["name"]) for organisation in found.get("orgs", ())),
            role=str(token.get("role", "")),
        )

    def is_private(self, repo: str) -> bool | None:
        def look() -> bool | None:
            try:
                return bool(self._api.model_info(repo, timeout=self._check_s).private)
            except RepositoryNotFoundError:
                return None

        return self._ask(f"looking for {repo}", self._check_s, look)

    def create(self, repo: str, *, private: bool) -> str:
        return self._ask(
            f"creating {repo}", _START_S, lambda: str(self._api.create_repo(repo, private=private, exist_ok=True))
        )

    def send(self, folder: Path, repo: str) -> None:
        disable_progress_bars()  # they would overwrite the run's own line
        num_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        self._ask(
            f"uploading {num_bytes / 2**20:.0f} MiB",
            _START_S + num_bytes // _LEAST_BYTES_PER_S,
            lambda: self._commit(folder, repo),
        )

    def _commit(self, folder: Path, repo: str) -> None:
        """Make one commit of all files, so that nobody ever loads half of them.

        `HfApi.upload_folder` makes several. The weights of an upload before go in the same commit: a loader would
        prefer a single file of before to new shards.
        """
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        stale = [name for name in self._api.list_repo_files(repo) if _is_weights(name) and name not in files]
        self._api.create_commit(
            repo,
            [
                *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in stale),
                *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in files.items()),
            ],
            commit_message="Trained with PB-RLSVR",
        )

    def _ask(self, what: str, seconds: float, call: Callable[[], Answer]) -> Answer:
        if not get_token():
            raise HubFailed("there is no token: set HF_TOKEN, or log in with `hf auth login`")
        try:
            return _within(seconds, what, call)
        except OfflineModeIsEnabled:
            raise HubFailed("HF_HUB_OFFLINE is set: unset it") from None
        except (HTTPError, OSError, ValueError) as error:
            message = " ".join(str(error).split()) or type(error).__name__
            raise HubFailed(f"{what} at {self._api.endpoint}: {message}") from error


def check_hub(config: ExportConfig, hub: Hub | None = None) -> None:
    """Refuse, before anything is started, an upload that can't succeed at the end. `hub` is the real one by default.

    Raises:
        BadInput: the name is malformed, there is no valid token, the token may not write there, or the hub can't be
            reached.
    """
    if not config.hub_repo:
        return
    where = f"{_KEY} = {config.hub_repo!r}"
    _check_name(config.hub_repo, where)
    hub = hub or HuggingFaceHub()
    try:
        _check_account(hub.account(), config.hub_repo, where)
        is_private = hub.is_private(config.hub_repo)
    except HubFailed as failure:
        raise BadInput(
            f'{where}: uploading is not possible ({failure}); set it to "" to keep the export local', key=_KEY
        ) from None
    if is_private is False and config.hub_private:
        raise BadInput(
            f"{where} exists already and is public, but export.hub_private asks for a private repository; choose "
            "another name, or set export.hub_private=false",
            key="export.hub_private",
        )


def upload(folder: Path, config: ExportConfig, hub: Hub | None = None) -> str:
    """Upload an exported folder to `config.hub_repo`, and return its address. `hub` is the real one by default.

    Raises:
        RunFailed: the upload failed; the folder is unchanged, and the message says how to upload it by hand.
    """
    if not config.hub_repo:
        raise ValueError("export.hub_repo is empty: there is nowhere to upload to")
    hub = hub or HuggingFaceHub()
    try:
        address = hub.create(config.hub_repo, private=config.hub_private)
        hub.send(folder, config.hub_repo)
    except HubFailed as failure:
        raise RunFailed(
            f"the trained policy could not be uploaded to {config.hub_repo} ({failure}); it is complete in {folder}: "
            f"upload it with `hf upload {config.hub_repo} {folder}`",
            key="upload",
        ) from failure
    return address


def _is_weights(name: str) -> bool:
    return fnmatch(name, "model*.safetensors") or name == "model.safetensors.index.json"


def _check_name(repo: str, where: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise BadInput(f"{where} is not a valid name: {' '.join(str(error).split())}", key=_KEY) from None
    if repo.count("/") != 1:
        raise BadInput(f"{where} has no owner; write it as owner/name", key=_KEY)


def _check_account(account: Account, repo: str, where: str) -> None:
    owner = repo.split("/")[0]
    if account.role == "read":
        raise BadInput(f"{where}: the token of {account.name} can only read; create a token that can write", key=_KEY)
    known = (account.name, *account.organisations)
    # A fine-grained token may write to an organisation that it isn't allowed to list.
    if account.role != "fineGrained" and owner.lower() not in (name.lower() for name in known):
        raise BadInput(
            f"{where}: the token can write to {', '.join(known)}, but not to {owner}; choose one of these owners",
            key=_KEY,
        )


def _within(seconds: float, what: str, call: Callable[[], Answer]) -> Answer:
    """Return or raise what the call returns or raises; its thread never delays the end of the process.

    Raises:
        TimeoutError: the call takes longer than `seconds`.
    """
    outcome: list[Answer] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, name=f"hub: {what}", daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return outcome[0]
