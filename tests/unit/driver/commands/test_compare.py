"""Test the command `compare` on folders that `evaluate` wrote: what it writes, and where it can't."""

import csv
from pathlib import Path

import pytest

from driver.cli import main
from tests.unit.driver.evaluation.test_comparison import a_folder_of_evaluate, rows


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    return [
        str(a_folder_of_evaluate(tmp_path / name, "m", rows(num))) for name, num in (("greedy", 10), ("sampled", 30))
    ]


def test_the_comparison_is_written_into_the_first_folder(folders: list[str]) -> None:
    assert main(["compare", *folders]) == 0
    with (Path(folders[0]) / "comparison/comparison.csv").open(encoding="utf-8") as file:
        names = {(row["first"], row["second"]) for row in csv.DictReader(file)}
    assert names == {("greedy: m", "sampled: m")}


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_place_that_is_a_file_is_refused(
    folders: list[str], tmp_path: Path, below: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert main(["compare", *folders, "--out", str(tmp_path / "file" / below)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
