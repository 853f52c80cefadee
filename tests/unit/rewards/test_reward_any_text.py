"""Test the semantic reward with a model for answers and a component of the user, and on any text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.config.reward import RewardConfig
from contracts.rollouts import Score, ScoreRequest, Unscored
from languages.facts import LANGUAGES
from rewards.reward import ANSWER_NOT_FINITE
from tests.models.semantic_reward import GOOD, a_reward, only, request


@dataclass
class TableAnswers:
    values: Mapping[str, float]

    def compare(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        assert set(languages) == {"de"} and set(english) == {"Cologne"}
        return np.array([self.values[text] for text in native])


def test_answers_that_no_rule_can_compare_are_compared_by_a_model() -> None:
    reward = a_reward(text_answers=TableAnswers({"Köln": 0.9, "Bonn": math.nan}))
    reasoning = "Die Stadt liegt am Rhein und hat einen sehr großen Dom mit zwei Türmen."
    asked = request(
        f"{reasoning} Die Antwort lautet Köln.",
        f"{reasoning} Die Antwort lautet Bonn.",
        f"{reasoning} Die Antwort lautet Cologne.",
        reference="The city lies on the Rhine and has a large cathedral with two towers. The answer is Cologne.",
    )
    [(close, unknown, same)] = reward.score([asked])
    assert isinstance(close, Score) and close.parts["answer"] == 0.9
    assert unknown == Unscored(reason=ANSWER_NOT_FINITE)
    assert isinstance(same, Score) and same.parts["answer"] == 1.0


@dataclass
class FixedCustom:
    result: Sequence[float] | Unscored

    def score(self, request: ScoreRequest) -> Sequence[float] | Unscored:
        return self.result


def test_a_custom_part_is_weighted_like_the_others() -> None:
    config = RewardConfig.model_validate(
        {
            "weights": {"answer": 0.5, "reasoning": 0, "numbers": 0, "custom": 0.5},
            "custom": {"path": "mine.py"},
        }
    )
    reward = a_reward(custom=FixedCustom([0.5]), config=config)
    score = only(reward, request(f"{GOOD} Die Antwort lautet 11."))
    assert isinstance(score, Score)
    assert (score.parts["custom"], score.reward) == (0.5, pytest.approx(0.75))


def test_a_custom_part_that_fails_leaves_its_group_unscored() -> None:
    failed = Unscored(reason="custom reward failed: ValueError", detail="Traceback ...")
    asked = request(f"{GOOD} Die Antwort lautet 11.", "")
    assert a_reward(custom=FixedCustom(failed)).score([asked]) == [(failed, failed)]


ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)


@given(response=ANY_TEXT, language=st.sampled_from(sorted(LANGUAGES)), reference=ANY_TEXT)
def test_any_text_has_an_outcome(response: str, language: str, reference: str) -> None:
    asked = replace(request(response, language=language), reference=f"{reference} The answer is 7.")
    outcome = only(REWARD, asked)
    assert isinstance(outcome, Unscored) or 0 <= outcome.reward <= 1


REWARD = a_reward()


@pytest.mark.parametrize("piece", ["a", "9", "(", "7 Bälle. ", "\u202e1", "\ud800", "Die Antwort lautet 11. ", "🎾\n"])
def test_a_response_of_a_hundred_thousand_characters_is_shut_out(piece: str) -> None:
    score = only(REWARD, request(piece * (100_000 // len(piece))))
    assert isinstance(score, Score) and score.reward == 0.0
