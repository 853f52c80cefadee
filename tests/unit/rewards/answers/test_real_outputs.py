"""Test declarations and numbers on outputs that published models wrote: right ones are read right and let through."""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from rewards.answers.final import same_answer
from rewards.gates.form import FormatGate
from tests.builders import a_reading

OUTPUTS = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "outputs"
LEAST_RIGHT = 0.98
"""Least share of right outputs in the asked language whose declared answer is the gold answer, in every language. The
rest declares nothing, another number than its reasoning finds, or hedges."""
LEAST_OPEN = 0.98
"""Least share of these that the gate "format" lets through."""

_THINKING = re.compile(r"\A.*</think>", re.DOTALL)


@pytest.mark.skipif(not OUTPUTS.exists(), reason="needs the outputs of models in shared/data/outputs")
@pytest.mark.parametrize("source", ["mcot", "s1", "gpt35"])
def test_right_outputs_are_read_right_and_let_through_in_every_language(source: str) -> None:
    right, is_open = _rates(source)
    assert len(right) >= 7
    assert {language: share for language, share in right.items() if share < LEAST_RIGHT} == {}
    assert {language: share for language, share in is_open.items() if share < LEAST_OPEN} == {}


@pytest.mark.skipif(not OUTPUTS.exists(), reason="needs the outputs of models in shared/data/outputs")
def test_right_answers_behind_thinking_are_read_right_and_let_through() -> None:
    right, is_open = _rates("s1_thinking")
    assert sum(right.values()) / len(right) >= LEAST_RIGHT
    assert sum(is_open.values()) / len(is_open) >= LEAST_OPEN


def _rates(source: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return by language the share that is read right, and of these the share that the gate lets through."""
    right, is_open = defaultdict[str, list[bool]](list), defaultdict[str, list[bool]](list)
    gate = FormatGate()
    for line in (OUTPUTS / f"{source}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if not row["is_right"] or row["in_language"] != "in":
            continue
        reading = a_reading(_THINKING.sub("", row["response"]), language=row["language"])
        is_right = reading.answer is not None and same_answer(reading.answer, str(row["gold"]))
        right[row["language"]].append(is_right)
        if is_right:
            is_open[row["language"]].append(gate.is_open(reading))
    return _means(right), _means(is_open)


def _means(values: dict[str, list[bool]]) -> dict[str, float]:
    return {language: sum(found) / len(found) for language, found in values.items()}
