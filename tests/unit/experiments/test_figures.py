"""Test that figures are drawn from results alone, and are the same for the same results."""

from dataclasses import replace
from pathlib import Path

from experiments.figures import draw_figures
from experiments.rows import Row
from tests.unit.experiments.test_comparison import row, shares


def a_run(arm: str, seed: int) -> Row:
    curve = {
        moment: {"en": shares(0.98), "de": shares(value), "es": shares(value / 2)}
        for moment, value in (("before", 0.2), ("step-10", 0.5), ("after", 0.9))
    }
    return replace(
        row(arm, seed, english=1, german=1), moments=curve, num_steps=20, rewards=tuple(i / 20 for i in range(20))
    )


def test_the_same_results_give_the_same_files(tmp_path: Path) -> None:
    rows = [a_run(arm, seed) for arm in ("pb-rlsvr", "answer-only") for seed in (1, 2)]
    first = {file.name: file.read_bytes() for file in draw_figures(rows, tmp_path / "one")}
    again = {file.name: file.read_bytes() for file in draw_figures(rows, tmp_path / "two")}
    assert first.keys() == {"languages.svg", "arms.svg", "reward-and-accuracy.svg"}
    assert first == again
    assert b"Spanish (not trained)" in first["languages.svg"]


def test_without_a_result_nothing_is_drawn(tmp_path: Path) -> None:
    assert draw_figures([], tmp_path) == []
    assert draw_figures([row("ppo", 1, english=1, german=1, failure="killed")], tmp_path) == []
