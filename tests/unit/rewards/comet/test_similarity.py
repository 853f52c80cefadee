"""Test COMET's scores of whole reasonings and of answers in words."""

from collections.abc import Sequence

import numpy as np
import pytest

from rewards.comet.similarity import CometAnswers, CometSimilarity
from rewards.reasoning.similarity import ReasoningPair
from tests.fakes.comet import ENGLISH, GERMAN, SharedNumbers, a_pair_scorer


def test_answers_are_compared_as_whole_pairs_in_order() -> None:
    answers = CometAnswers(a_pair_scorer(SharedNumbers()))
    found = answers.compare(["on day 3", "on day 3", ""], ["an Tag 3", "le jour 4", ""], ["de", "fr", "sw"])
    assert found[:2].tolist() == [1.0, 0.0]
    assert np.isnan(found[2])


def test_answers_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError):
        CometAnswers(a_pair_scorer(SharedNumbers())).compare(["3", "4"], ["3", "4"], ["de"])


def reasoning(native: Sequence[str], *, reference: Sequence[str] = ENGLISH) -> ReasoningPair:
    return ReasoningPair(language="de", reasoning=" ".join(native), reference=" ".join(reference))


def test_a_reasoning_is_compared_segment_by_segment_and_omissions_and_padding_cost() -> None:
    padding = "Das Wetter war an jenem Tag im Jahr 1987 wirklich sehr angenehm und mild."
    found = CometSimilarity(a_pair_scorer(SharedNumbers())).similarities(
        [
            reasoning(GERMAN),
            reasoning([GERMAN[0], GERMAN[2]]),
            reasoning([GERMAN[0], padding, *GERMAN[1:]]),
            reasoning([]),
            reasoning(GERMAN, reference=[]),
        ]
    )
    assert found[0] == 1.0
    whole = sum(map(len, ENGLISH)) + sum(map(len, GERMAN)) / 1.1
    assert found[1] == pytest.approx(1 - len(ENGLISH[1]) / (whole - len(GERMAN[1]) / 1.1))
    assert found[2] == pytest.approx(whole / (whole + len(padding) / 1.1))
    assert found[3] == 0.0
    assert np.isnan(found[4])


def test_no_pairs_give_no_values() -> None:
    assert CometSimilarity(a_pair_scorer(SharedNumbers())).similarities([]).shape == (0,)
