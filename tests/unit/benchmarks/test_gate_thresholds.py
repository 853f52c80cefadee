"""Test the counts behind the table of thresholds, on a gate and outputs that are made by hand."""

import json
from pathlib import Path

import pytest

from benchmarks.gate_thresholds import NUM_COLUMNS, THRESHOLDS, changed, read, shares
from rewards.gates import form
from rewards.reading import Reading


class ShutForLongText:
    """Stand in for a gate: shut for more than twelve characters."""

    def __init__(self, name: str) -> None:
        self.name = name

    def is_open(self, reading: Reading) -> bool:
        return len(reading.text) <= 12


def outputs(folder: Path) -> Path:
    rows = [
        ("de", "Antwort: 5", True, "in"),
        ("de", "Antwort: 5 Äpfel", True, "in"),
        ("fr", "Réponse : 5", True, "in"),
        ("fr", "Answer: 5", True, "other"),
        ("fr", "Answer: 5 apples", True, "other"),
        ("fr", "Answer: 6", False, "other"),
        ("de", "Antwort: 6", False, "in"),
        ("de", "Antwort: 6 Äpfel", False, "in"),
        ("de", "Antwort: 7 Äpfel", False, "in"),
        ("de", "Antwort: 5 Äpfel", None, "in"),  # nothing is known of it
    ]
    file = folder / "outputs.jsonl"
    file.write_text(
        "".join(
            json.dumps(
                {
                    **{"language": language, "question": "Wie viele?", "question_en": "How many?"},
                    **{"reference": "The answer is 5.", "response": response, "is_right": is_right},
                    "in_language": in_language,
                }
            )
            + "\n"
            for language, response, is_right, in_language in rows
        ),
        encoding="utf-8",
    )
    return file


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("language", (1 / 3, 1 / 2, 2 / 3)),  # of three in another language two are short
        ("format", (1 / 3, 1 / 2, 1 / 2)),  # of four wrong ones two
    ],
)
def test_right_outputs_that_a_gate_shuts_and_others_that_it_opens_for_are_counted(
    gate: str, expected: tuple[float, float, float], tmp_path: Path
) -> None:
    assert shares(ShutForLongText(gate), read([outputs(tmp_path)])) == pytest.approx(expected)


def test_a_constant_is_another_one_for_a_while_only() -> None:
    before = form.MAX_TAIL_LETTERS
    with changed(form, "MAX_TAIL_LETTERS", 1):
        assert form.MAX_TAIL_LETTERS == 1
    assert before == form.MAX_TAIL_LETTERS


def test_every_threshold_is_a_constant_of_its_module_and_its_value_in_use_is_tried() -> None:
    assert NUM_COLUMNS == 5
    for threshold in THRESHOLDS:
        assert getattr(threshold.module, threshold.name) in threshold.values
