"""Test that raw results are kept as they are, and that damage is named."""

from pathlib import Path

from experiments.rows import append_row, newest, read_rows
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
