"""The semantic reward as a whole: real gates and answers, a judge whose values are written by hand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from driver.reward_config import RewardConfig
from driver.schema import Score, ScoreRequest, Unscored
from rewards.calibration import LinearScale
from rewards.compose import combination
from rewards.gates.all import build_gates
from rewards.languages import LANGUAGES
from rewards.reasoning.judge import ReasoningPair
from rewards.semantic import (
    NO_REFERENCE,
    NO_REFERENCE_ANSWER,
    NOT_FINITE,
    SEVERAL_ANSWERS,
    TEXT_ANSWER,
    CustomReward,
    Reasoning,
    SemanticReward,
    TextAnswers,
)

REFERENCE_REASONING = "Roger started with 5 balls. He bought 6 more, so he has 5 + 6 = 11 balls."
GOOD = "Roger hatte zuerst 5 Bälle. Er kaufte 6 dazu, also hat er 5 + 6 = 11 Bälle."
OFF_TOPIC = "Der Himmel ist heute sehr blau und weit, und die Vögel singen schön im Garten."
VALUES = {GOOD: 1.0, OFF_TOPIC: 0.0}
WEIGHTS = {"answer": 0.6, "reasoning": 0.25, "numbers": 0.15}


@dataclass
class TableJudge:
    """Raw values by reasoning, and what it was asked."""

    values: Mapping[str, float] = field(default_factory=lambda: VALUES)
    calls: list[list[str]] = field(default_factory=list)
    fingerprint: str = "table"

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        self.calls.append([pair.reasoning for pair in pairs])
        return np.array([self.values.get(pair.reasoning, 0.5) for pair in pairs])


def a_reward(
    *,
    judge: TableJudge | None = None,
    off: Sequence[str] = (),
    baseline: str = "language",
    text_answers: TextAnswers | None = None,
    custom: CustomReward | None = None,
    config: RewardConfig | None = None,
) -> SemanticReward:
    gates = build_gates(tuple(LANGUAGES), min_length_ratio=0.2, max_length_ratio=4.0)
    return SemanticReward(
        gates=gates,
        switched_off=off,
        combination=combination(config or RewardConfig()),
        reasoning=Reasoning(
            judge=judge or TableJudge(),
            scale=LinearScale(0.0, 1.0),
            baseline="question" if baseline == "question" else "language",
        ),
        text_answers=text_answers,
        custom=custom,
    )


def request(
    *responses: str,
    truncated: tuple[bool, ...] = (),
    language: str = "de",
    reference: str = f"{REFERENCE_REASONING} The answer is 11.",
) -> ScoreRequest:
    return ScoreRequest(
        language=language,
        question="Wie viele Bälle hat Roger?",
        question_en="How many balls does Roger have?",
        reference=reference,
        responses=responses,
        truncated=truncated or (False,) * len(responses),
    )


def only(reward: SemanticReward, asked: ScoreRequest) -> Score | Unscored:
    [[score]] = reward.score([asked])
    return score


def scored(response: str, *, truncated: bool = False, off: Sequence[str] = ()) -> Score:
    score = only(a_reward(off=off), request(response, truncated=(truncated,)))
    assert isinstance(score, Score), score
    return score


def test_right_answer_same_reasoning_and_same_numbers_earn_everything() -> None:
    score = scored(f"{GOOD} Die Antwort lautet 11.")
    assert score.reward == pytest.approx(1.0)
    assert score.parts == {"answer": 1.0, "reasoning": 1.0, "numbers": 1.0}
    assert set(score.gates) == {
        "language",
        "answer_language",
        "format",
        "truncation",
        "empty",
        "repetition",
        "copying",
        "length",
    }
    assert all(score.gates.values())
    assert score.answer == "11"


def test_parts_are_weighted() -> None:
    wrong_but_close = scored(f"{GOOD} Die Antwort lautet 12.")
    right_but_off = scored(f"{OFF_TOPIC} Die Antwort lautet 11.")
    assert wrong_but_close.reward == pytest.approx(WEIGHTS["reasoning"] + WEIGHTS["numbers"])
    assert right_but_off.reward == pytest.approx(WEIGHTS["answer"])


def test_a_wrong_number_on_the_way_costs_though_the_answer_is_right() -> None:
    slip = f"{GOOD.replace('5 + 6', '5 + 7')} Die Antwort lautet 11."
    assert scored(slip).parts["numbers"] < 1.0
    assert scored(slip).parts["answer"] == 1.0


def test_answer_is_compared_as_a_number() -> None:
    assert scored(f"{GOOD} Die Antwort lautet 11,0 Bälle.").parts["answer"] == 1.0


@pytest.mark.parametrize(
    ("response", "truncated", "shut"),
    [
        (f"{GOOD} The answer is 11.", False, {"answer_language"}),
        (GOOD, False, {"format"}),
        (f"{GOOD} Die Antwort lautet 11. Die Antwort lautet 12.", False, {"format"}),
        (f"{GOOD} Die Antwort lautet 11.", True, {"truncation"}),
        (f"{REFERENCE_REASONING} Die Antwort lautet 11.", False, {"language"}),
    ],
)
def test_shut_gate_means_no_reward_and_all_is_recorded(response: str, truncated: bool, shut: set[str]) -> None:
    score = scored(response, truncated=truncated)
    assert score.reward == 0.0
    assert {name for name, is_open in score.gates.items() if not is_open} >= shut
    assert score.parts["reasoning"] == 0.0
    assert "answer" in score.parts


def test_empty_response_earns_nothing() -> None:
    score = scored("")
    assert (score.reward, score.gates["format"], score.gates["empty"], score.answer) == (0.0, False, False, None)


def test_gate_that_is_off_shuts_nothing_and_is_still_recorded() -> None:
    english = f"{REFERENCE_REASONING} The answer is 11."
    score = scored(english, off=("language", "answer_language"))
    assert score.reward > 0.6
    assert "language" not in score.gates
    assert score.parts["language"] == score.parts["answer_language"] == 0.0


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("I give up.", NO_REFERENCE_ANSWER),
        (" \u200e\n", NO_REFERENCE),
        ("He lives in France. The answer is Paris.", TEXT_ANSWER),
        (f"{REFERENCE_REASONING} \\boxed{{11}} or \\boxed{{12}}", SEVERAL_ANSWERS),
    ],
)
def test_a_reference_that_says_nothing_leaves_its_group_unscored_and_the_others_scored(
    reference: str, reason: str
) -> None:
    good = request(f"{GOOD} Die Antwort lautet 11.")
    lost = replace(request("a", "b"), reference=reference)
    first, second, third = a_reward().score([good, lost, good])
    assert second == (Unscored(reason=reason),) * 2
    assert first == third
    assert isinstance(first[0], Score) and first[0].reward == pytest.approx(1.0)


def test_a_reference_whose_steps_have_answers_of_their_own_counts_with_its_last() -> None:
    reference = f"The answer is 5. {REFERENCE_REASONING} The answer is 11."
    score = only(a_reward(), request(f"{GOOD} Die Antwort lautet 11.", reference=reference))
    assert isinstance(score, Score) and score.parts["answer"] == 1.0


def test_markup_is_no_part_of_what_a_judge_compares() -> None:
    judge = TableJudge()
    listed = "- Roger hatte zuerst **5** Bälle. Er kaufte 6 dazu, also hat er 5 + 6 = 11 Bälle."
    a_reward(judge=judge).score([request(f"{listed}\n\n**Die Antwort lautet 11.**")])
    assert judge.calls == [[GOOD]]


def test_all_groups_are_judged_together_and_shut_ones_never() -> None:
    judge = TableJudge()
    right, off = f"{GOOD} Die Antwort lautet 11.", f"{OFF_TOPIC} Die Antwort lautet 11."
    a_reward(judge=judge).score([request(right, GOOD, off), request(off, right)])
    assert judge.calls == [[GOOD, OFF_TOPIC, OFF_TOPIC, GOOD]]


def test_nothing_to_judge_asks_no_judge() -> None:
    judge = TableJudge()
    reward = a_reward(judge=judge)
    assert reward.score([]) == []
    reward.score([request("", "")])
    assert judge.calls == []


def test_a_judge_that_cannot_say_leaves_that_response_alone_unscored() -> None:
    judge = TableJudge(values={GOOD: math.nan})
    asked = request(f"{GOOD} Die Antwort lautet 11.", f"{OFF_TOPIC} Die Antwort lautet 11.")
    [(lost, kept)] = a_reward(judge=judge).score([asked])
    assert lost == Unscored(reason=NOT_FINITE)
    assert isinstance(kept, Score)


def test_with_the_question_as_baseline_what_the_question_earns_is_zero() -> None:
    # The question's raw value is 0.5 (the table's default), the reasoning's 0.75: half of the way from 0.5 to 1.
    judge = TableJudge(values={GOOD: 0.75})
    score = only(a_reward(judge=judge, baseline="question"), request(f"{GOOD} Die Antwort lautet 11."))
    assert isinstance(score, Score)
    assert score.parts["reasoning"] == pytest.approx(0.5)


def test_nothing_is_scored_before_the_judge_was_calibrated() -> None:
    reward = a_reward()
    reward.reasoning.scale = None
    with pytest.raises(RuntimeError, match="no calibration"):
        reward.score([request(f"{GOOD} Die Antwort lautet 11.")])


def test_weights_of_the_request_s_own_step_count() -> None:
    config = RewardConfig.model_validate(
        {"schedule": [{"step": 0, "answer": 1, "reasoning": 0, "numbers": 0}, {"step": 10, **WEIGHTS}]}
    )
    asked = request(f"{OFF_TOPIC} Die Antwort lautet 11.")
    reward = a_reward(config=config)
    early, late = only(reward, asked), only(reward, replace(asked, step=10))
    assert isinstance(early, Score) and isinstance(late, Score)
    assert (early.reward, late.reward) == (pytest.approx(1.0), pytest.approx(0.6))


@dataclass
class TableAnswers:
    values: Mapping[str, float]

    def judge(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        assert set(languages) == {"de"} and set(english) == {"Cologne"}
        return np.array([self.values[text] for text in native])


def test_answers_that_no_rule_can_compare_are_judged_by_a_model() -> None:
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
    assert isinstance(unknown, Unscored)
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
    score = scored(piece * (100_000 // len(piece)))
    assert score.reward == 0.0
