"""Test whether a model can be read on a node: folders by their files, names on the hub by its cache and its answer."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from cluster.preflight.models import why_unusable


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    """Give the hub an empty cache, and let a test choose its answer."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def answers(failure: Exception | None) -> None:
        def auth_check(_: HfApi, name: str) -> None:
            assert name == "owner/name"
            if failure is not None:
                raise failure

        monkeypatch.setattr(HfApi, "auth_check", auth_check)

    return answers


def refusal(kind: type[GatedRepoError] | type[RepositoryNotFoundError], status: int) -> Exception:
    return kind("no", response=httpx2.Response(status, request=httpx2.Request("GET", "http://hub")))


def test_a_folder_needs_weights_that_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    assert "is not on this node" in (why_unusable(str(folder)) or "")
    folder.mkdir()
    assert "no weights" in (why_unusable(str(folder)) or "")
    (folder / "config.json").touch()
    (folder / "model.safetensors").touch()
    assert why_unusable(str(folder)) is None


def test_a_file_that_cant_be_read_is_named(tmp_path: Path) -> None:
    """A link to nothing, as in a copy of the hub's cache without its blobs."""
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blob")
    assert "model.safetensors" in (why_unusable(str(tmp_path)) or "")


@pytest.mark.parametrize(
    ("failure", "named"),
    [
        (refusal(GatedRepoError, 403), ("gated", "HF_TOKEN")),
        (refusal(RepositoryNotFoundError, 404), ("not on the hub", "HF_TOKEN")),
        (httpx2.ConnectError("no route"), ("cache", "ConnectError")),
    ],
)
def test_a_model_that_the_hub_does_not_give_is_refused(
    hub: Callable[[Exception | None], None], failure: Exception, named: tuple[str, ...]
) -> None:
    hub(failure)
    for model in ("owner/name", "owner/name@v1"):
        why = why_unusable(model) or ""
        assert [word for word in named if word not in why] == []


def test_a_model_that_the_hub_gives_needs_no_copy_here(hub: Callable[[Exception | None], None]) -> None:
    hub(None)
    assert why_unusable("owner/name") is None


def test_a_model_in_the_cache_needs_no_hub(hub: Callable[[Exception | None], None], tmp_path: Path) -> None:
    hub(refusal(GatedRepoError, 403))
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    assert why_unusable("owner/name") is not None  # an empty folder is left of a download that broke off
    (snapshot / "config.json").touch()
    assert why_unusable("owner/name") is None
