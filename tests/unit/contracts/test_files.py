"""Check that a file under its own name is always whole."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.files import replace_folder, swap_folders, whole_file, write_whole


@pytest.mark.parametrize("content", ["über\n", b"\x00\xff"])
def test_text_and_bytes_replace_what_was_there(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "latest"
    path.write_text("before")
    write_whole(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["latest"]


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_writer_that_fails_leaves_the_file_that_was_there_and_nothing_else(tmp_path: Path, is_shared: bool) -> None:
    path = tmp_path / "latest"
    path.write_text("before")
    with pytest.raises(OSError), whole_file(path, is_shared=is_shared) as aside:
        aside.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["latest"]


def test_a_file_that_a_kill_left_behind_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with whole_file(path) as aside:
        left_behind = aside
        aside.write_text("first")
    left_behind.write_text("torn")
    with whole_file(path) as aside:
        assert not aside.exists()
        aside.write_text("second")
    assert path.read_text() == "second"


def test_two_writers_of_a_shared_path_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "scale.json"
    with whole_file(path, is_shared=True) as outer:
        outer.write_text("outer")
        write_whole(path, "inner", is_shared=True)
        assert path.read_text() == "inner"
    assert path.read_text() == "outer"


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "latest", "text")


# --- folders ----------------------------------------------------------------------------------------------------------


def can_not_swap(one: Path, other: Path) -> None:
    """Refuse as a network file system does."""
    raise OSError(errno.EINVAL, "Invalid argument", str(one), None, str(other))


@pytest.mark.parametrize("swap", [swap_folders, can_not_swap])
def test_a_folder_takes_the_place_of_another_which_is_left_aside(
    tmp_path: Path, swap: Callable[[Path, Path], None]
) -> None:
    for name in ("new", "place"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    replace_folder(tmp_path / "new", tmp_path / "place", swap=swap)
    assert os.listdir(tmp_path / "place") == ["new"]
    assert os.listdir(tmp_path / "new") == ["place"]
    assert sorted(os.listdir(tmp_path)) == ["new", "place"]


def test_a_folder_takes_a_place_that_is_free(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    replace_folder(tmp_path / "new", tmp_path / "place")
    assert os.listdir(tmp_path) == ["place"]


def test_a_folder_that_is_missing_takes_no_place(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "new", tmp_path / "place")
    assert os.listdir(tmp_path) == ["place"]
