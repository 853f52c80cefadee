"""Test that a folder can be told from another one of the same path, and that the check leaves no trace."""

from pathlib import Path

import pytest

from cluster.preflight.facts import NodeNeeds, look
from cluster.preflight.shared_folder import marked
from tests.refusals import refused


def test_who_has_the_same_folder_sees_the_marker(tmp_path: Path) -> None:
    with marked(tmp_path) as marker:
        assert look(NodeNeeds(models={}, num_gpus=0, marker=marker)).sees_marker
    assert not look(NodeNeeds(models={}, num_gpus=0, marker=marker)).sees_marker
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_not_there_is_not_there_afterwards(tmp_path: Path) -> None:
    with marked(tmp_path / "a" / "runs") as marker:
        assert Path(marker).exists()
    assert list(tmp_path.iterdir()) == []


def test_what_others_have_put_there_meanwhile_stays(tmp_path: Path) -> None:
    with marked(tmp_path / "a" / "runs"):
        (tmp_path / "a" / "other").mkdir()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["other"]


def test_a_folder_that_cant_be_written_is_refused_by_its_key() -> None:
    """Nobody can make a folder below /proc, not even root."""
    with refused("run.folder", "/proc/runs"), marked(Path("/proc/runs")):
        pytest.fail("a folder was made in /proc")


def test_a_node_that_cant_write_beside_the_marker_says_why(tmp_path: Path) -> None:
    with marked(tmp_path) as marker:
        assert look(NodeNeeds(models={}, num_gpus=0, marker=marker)).unwritable == ""
    elsewhere = look(NodeNeeds(models={}, num_gpus=0, marker="/proc/version"))
    assert elsewhere.sees_marker
    assert elsewhere.unwritable
