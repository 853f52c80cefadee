"""Check that a sealed folder's sums are those of its bytes, whether they were computed in writing or in reading."""

import hashlib
import os
from pathlib import Path

import pytest

from contracts import sealed_folder
from contracts.sealed_folder import FileSum, SummedFile, damaged_files, listed_files, read_seal, seal_folder


def sum_of(content: bytes) -> FileSum:
    return FileSum(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def test_a_file_is_summed_in_pieces_of_any_kind_and_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_folder, "_PIECE", 4)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda place: synced.append(os.readlink(f"/proc/self/fd/{place}")))
    with SummedFile(tmp_path / "file") as file:
        written = [file.write(content) for content in (b"0123456789", b"", memoryview(b"abcd").cast("H"))]
    assert written == [10, 0, 4]
    assert (tmp_path / "file").read_bytes() == b"0123456789abcd"
    assert file.sum == sum_of(b"0123456789abcd")
    assert synced == [str(tmp_path / "file")]


def test_a_file_whose_writing_fails_has_no_sum(tmp_path: Path) -> None:
    file = SummedFile(tmp_path / "file")
    with pytest.raises(RuntimeError), file:
        file.write(b"half")
        raise RuntimeError
    assert file.sum.sha256 == ""


def test_what_was_summed_in_writing_is_not_read_again(tmp_path: Path) -> None:
    """A given sum is in the manifest though the file's bytes have another one."""
    (tmp_path / "shard").write_bytes(b"weights")
    (tmp_path / "small").write_bytes(b"text")
    given = FileSum(size=7, sha256="0" * 64)
    seal_folder(tmp_path, {"format": 1}, sums={"shard": given})
    files = listed_files(read_seal(tmp_path, version=1))
    assert files == {"shard": given, "small": sum_of(b"text")}
    assert [damage.file for damage in damaged_files(tmp_path, files, reads=True)] == ["shard"]


@pytest.mark.parametrize("content", [b"weight", b"weights!"])
def test_a_file_of_another_size_than_was_written_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shard").write_bytes(content)
    with pytest.raises(OSError, match="shard"):
        seal_folder(tmp_path, {"format": 1}, sums={"shard": sum_of(b"weights")})
    assert not (tmp_path / "manifest.json").exists()
