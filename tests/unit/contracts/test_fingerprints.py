"""Test what a model's fingerprint follows, what it leaves out, and when a file is read again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts import fingerprints
from contracts.fingerprints import model_fingerprint
from contracts.paths import HOME_VARIABLE
from tests.refusals import refused

FILES = {
    "config.json": b"{}",
    "generation_config.json": b'{"eos_token_id": 2}',
    "tokenizer.json": b'{"model": {}}',
    "tokenizer_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model-00001-of-00002.safetensors": bytes(2 << 20),
    "model-00002-of-00002.safetensors": b"second shard",
    "1_Pooling/config.json": b"{}",
    "modeling_own.py": b"a = 1",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep sums in a folder of this test."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return a_model(tmp_path / "model")


def a_model(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def last_byte_changed(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("name", [name for name in FILES if name != "modeling_own.py"])
def test_one_changed_byte_of_any_file_that_is_loaded_makes_it_another_model(model: Path, name: str) -> None:
    before = model_fingerprint(str(model))
    last_byte_changed(model / name)
    assert model_fingerprint(str(model)) != before


def test_a_byte_far_behind_the_start_of_a_shard_counts(model: Path) -> None:
    shard = model / "model-00001-of-00002.safetensors"
    before = model_fingerprint(str(model))
    content = bytearray(shard.read_bytes())
    content[(3 << 20) // 2] = 1
    shard.write_bytes(content)
    assert model_fingerprint(str(model)) != before


def test_code_counts_where_it_is_run(model: Path) -> None:
    before, with_code = model_fingerprint(str(model)), model_fingerprint(str(model), with_code=True)
    last_byte_changed(model / "modeling_own.py")
    assert model_fingerprint(str(model)) == before
    assert model_fingerprint(str(model), with_code=True) != with_code


@pytest.mark.parametrize("removed", ["generation_config.json", "chat_template.jinja"])
def test_a_file_that_is_gone_counts(model: Path, removed: str) -> None:
    before = model_fingerprint(str(model))
    (model / removed).unlink()
    assert model_fingerprint(str(model)) != before


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "LICENSE", ".gitattributes", ".git/config.json", ".cache/huggingface/a.json", "picture.png"),
        *("training_args.bin", "trainer_state.json", "optimizer.pt", "checkpoint-500/model.safetensors"),
        *("onnx/model.bin", "original/consolidated.pth", "runs/events.json"),
    ],
)
def test_a_file_that_nothing_loads_changes_nothing(model: Path, name: str) -> None:
    before = model_fingerprint(str(model))
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_bytes(b"anything")
    assert model_fingerprint(str(model)) == before


def test_a_copy_elsewhere_is_the_same_model(model: Path, tmp_path: Path) -> None:
    assert model_fingerprint(str(a_model(tmp_path / "elsewhere" / "copy"))) == model_fingerprint(str(model))


def test_a_folder_of_links_is_the_model_that_they_lead_to(model: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    for name in FILES:
        (links / name).parent.mkdir(parents=True, exist_ok=True)
        (links / name).symlink_to(model / name)
    assert model_fingerprint(str(links)) == model_fingerprint(str(model))


def test_a_link_that_leads_nowhere_is_refused_by_its_name(model: Path) -> None:
    (model / "model-00002-of-00002.safetensors").unlink()
    (model / "model-00002-of-00002.safetensors").symlink_to(model / "gone")
    with refused(str(model), "model-00002-of-00002.safetensors"):
        model_fingerprint(str(model))


def test_a_hub_model_is_its_commit_and_without_one_its_name() -> None:
    one, other = "a" * 40, "b" * 40
    assert model_fingerprint(f"some/name@{one}") == model_fingerprint(f"some/renamed@{one}")
    assert model_fingerprint(f"some/name@{one}") != model_fingerprint(f"some/name@{other}")
    assert model_fingerprint("some/name") != model_fingerprint("some/other-name")


# --- sums of an earlier start -----------------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count 1 MiB as a large file, and return the names of the files that are read, as they are."""
    names: list[str] = []
    read_it: Callable[[Path], str] = fingerprints._sum  # pyright: ignore[reportPrivateUsage]

    def noting(path: Path) -> str:
        names.append(path.name)
        return read_it(path)

    monkeypatch.setattr(fingerprints, "_LARGE", 1 << 20)
    monkeypatch.setattr(fingerprints, "_SETTLED_S", 0.0)
    monkeypatch.setattr(fingerprints, "_sum", noting)
    return names


LARGE = "model-00001-of-00002.safetensors"


def test_a_large_file_is_read_once_and_again_after_any_change(model: Path, read: list[str]) -> None:
    first = model_fingerprint(str(model))
    assert LARGE in read
    read.clear()
    assert model_fingerprint(str(model)) == first
    assert LARGE not in read and "config.json" in read
    times = (model / LARGE).stat()
    last_byte_changed(model / LARGE)
    os.utime(model / LARGE, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps times would leave it
    assert model_fingerprint(str(model)) != first
    assert LARGE in read


def test_another_file_of_the_same_size_and_time_is_read(model: Path, read: list[str], tmp_path: Path) -> None:
    first, times = model_fingerprint(str(model)), (model / LARGE).stat()
    other = tmp_path / "other"
    other.write_bytes(b"\1" * times.st_size)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(other, model / LARGE)
    assert model_fingerprint(str(model)) != first


def test_a_sum_is_not_kept_of_a_file_that_was_written_just_now(
    model: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "_SETTLED_S", 3600.0)
    model_fingerprint(str(model))
    read.clear()
    model_fingerprint(str(model))
    assert LARGE in read


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"model-00001-of-00002.safetensors": 3}'])
def test_a_damaged_record_of_sums_is_made_again(model: Path, read: list[str], home: Path, content: bytes) -> None:
    first = model_fingerprint(str(model))
    (record,) = (home / fingerprints.FOLDER).iterdir()
    record.write_bytes(content)
    assert model_fingerprint(str(model)) == first
    read.clear()
    assert model_fingerprint(str(model)) == first
    assert LARGE not in read


def test_without_a_place_for_the_record_the_files_are_read_again(model: Path, read: list[str], home: Path) -> None:
    home.write_bytes(b"a file where the folder should be")
    first = model_fingerprint(str(model))
    assert model_fingerprint(str(model)) == first
    assert read.count(LARGE) == 2
