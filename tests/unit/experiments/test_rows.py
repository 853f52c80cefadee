"""Test that raw results are kept as they are, and that damage is named."""

import subprocess
from pathlib import Path

import pytest

from experiments.rows import append_row, current_commit, newest, read_rows
from tests.refusals import refused
from tests.unit.experiments.test_comparison import row


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    written = [row("pb-rlsvr", 1, english=1, german=0.5), row("ppo", 1, english=1, german=0.5, failure="exit code 1")]
    for one in written:
        append_row(file, one)
    assert read_rows(file) == written
    assert read_rows(tmp_path / "none.jsonl") == []


def test_a_later_run_takes_the_place_of_one_that_failed() -> None:
    failed, done = row("ppo", 1, english=1, german=0.5, failure="killed"), row("ppo", 1, english=1, german=0.5)
    assert newest([failed, done]) == {("ppo", 1): done}


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text('{"arm": 1}\n', encoding="utf-8")
    with refused("results", "line 1"):
        read_rows(file)


def test_results_are_no_change_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.rows.ROOT", tmp_path)
    folder = tmp_path / "experiments" / "numbers"
    (folder / "figures").mkdir(parents=True)
    plan = folder / "experiment.toml"
    plan.write_text("seeds = [1]", encoding="utf-8")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit = current_commit()
    (folder / "results.jsonl").write_text("{}", encoding="utf-8")
    (folder / "figures" / "arms.svg").write_text("<svg/>", encoding="utf-8")
    assert current_commit() == commit
    plan.write_text("seeds = [1, 2]", encoding="utf-8")
    assert current_commit() == f"{commit}+changes"
