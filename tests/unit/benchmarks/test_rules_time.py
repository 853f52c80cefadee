"""Test the benchmark of the reward's rules: every text is judged, and the table sums by length."""

import pytest

from benchmarks.rules_time import judge, table
from contracts.config.reward import GatesConfig
from contracts.rollouts import ScoreRequest
from rewards.gates.gates import build_gates


def test_a_group_takes_time_and_its_characters_are_counted() -> None:
    band = GatesConfig()
    gates = build_gates(("de",), min_length_ratio=band.min_length_ratio, max_length_ratio=band.max_length_ratio)
    responses = ("Zwei und drei sind fünf. Die Antwort lautet 5.", "5")
    request = ScoreRequest(
        language="de",
        question="Was ist 2 + 3?",
        question_en="What is 2 + 3?",
        reference="Two and three are five. The answer is 5.",
        responses=responses,
        truncated=(False, False),
    )
    characters, seconds = judge(request, gates)
    assert characters == sum(map(len, responses))
    assert seconds > 0


@pytest.mark.parametrize(
    ("measured", "row"),
    [
        ([(1, 700, 0.002), (1, 700, 0.004)], ["600 to 799", "2", "3.00", "3.00"]),
        ([(2, 280, 0.002), (2, 280, 0.002)], ["0 to 199", "4", "1.00", "5.00"]),
        ([(1, 5000, 0.01), (1, 9000, 0.03)], ["2400 and more", "2", "20.00", "2.00"]),
    ],
)
def test_a_row_has_the_mean_of_the_texts_and_the_time_by_length(
    measured: list[tuple[int, int, float]], row: list[str]
) -> None:
    (found,) = table(measured)[2:]
    name, texts, mean, _, by_length = (cell.strip() for cell in found.strip("|").split("|"))
    assert [name, texts, mean, by_length] == row


def test_a_single_group_of_a_length_makes_no_row() -> None:
    assert len(table([(1, 100, 0.001)])) == 2
