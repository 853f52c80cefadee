"""Test the semantic reward as a whole: how gates, components, weights and references change a score."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from contracts.config.reward import RewardConfig, ThinkingUse
from contracts.rollouts import Score, Unscored
from rewards.reward import NO_REFERENCE, NO_REFERENCE_ANSWER, NOT_FINITE, SEVERAL_ANSWERS, TEXT_ANSWER
from tests.models.semantic_reward import (
    GOOD,
    OFF_TOPIC,
    REFERENCE_REASONING,
    WEIGHTS,
    TableSimilarity,
    a_reward,
    only,
    request,
)


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


def test_reasonings_are_compared_without_markup() -> None:
    similarity = TableSimilarity()
    listed = "- Roger hatte zuerst **5** Bälle. Er kaufte 6 dazu, also hat er 5 + 6 = 11 Bälle."
    a_reward(similarity=similarity).score([request(f"{listed}\n\n**Die Antwort lautet 11.**")])
    assert similarity.calls == [[GOOD]]


def test_all_groups_are_compared_together_and_shut_responses_never() -> None:
    similarity = TableSimilarity()
    right, off = f"{GOOD} Die Antwort lautet 11.", f"{OFF_TOPIC} Die Antwort lautet 11."
    a_reward(similarity=similarity).score([request(right, GOOD, off), request(off, right)])
    assert similarity.calls == [[GOOD, OFF_TOPIC, OFF_TOPIC, GOOD]]


def test_nothing_is_compared_where_nothing_is_open() -> None:
    similarity = TableSimilarity()
    reward = a_reward(similarity=similarity)
    assert reward.score([]) == []
    reward.score([request("", "")])
    assert similarity.calls == []


def test_a_similarity_that_is_not_finite_leaves_that_response_alone_unscored() -> None:
    similarity = TableSimilarity(values={GOOD: math.nan})
    asked = request(f"{GOOD} Die Antwort lautet 11.", f"{OFF_TOPIC} Die Antwort lautet 11.")
    [(lost, kept)] = a_reward(similarity=similarity).score([asked])
    assert lost == Unscored(reason=NOT_FINITE)
    assert isinstance(kept, Score)


def test_with_the_question_as_baseline_what_the_question_earns_is_zero() -> None:
    # The question's raw value is 0.5 (the table's default), the reasoning's 0.75: half of the way from 0.5 to 1.
    similarity = TableSimilarity(values={GOOD: 0.75})
    score = only(a_reward(similarity=similarity, baseline="question"), request(f"{GOOD} Die Antwort lautet 11."))
    assert isinstance(score, Score)
    assert score.parts["reasoning"] == pytest.approx(0.5)


def test_nothing_is_scored_before_a_calibration() -> None:
    reward = a_reward()
    reward.reasoning.scale = None
    with pytest.raises(RuntimeError):
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


# --- thinking --------------------------------------------------------------------------------------------------------

ENGLISH_THOUGHTS = "First I add the balls that he bought, then I check the sum again: 5 + 6 = 12? No, it is 11."
GERMAN_THOUGHTS = "Zuerst zähle ich die Bälle zusammen, dann prüfe ich die Summe noch einmal: 5 + 6 = 11."


def thought(thinking: str, use: ThinkingUse) -> tuple[Score, list[str]]:
    """Return the score of a good response after this thinking, and the reasonings that were compared."""
    similarity = TableSimilarity()
    reward = a_reward(similarity=similarity, config=RewardConfig(thinking=use))
    score = only(reward, request(f"{GOOD}\nDie Antwort lautet 11.", thinking=(thinking,)))
    assert isinstance(score, Score)
    return score, [reasoning for call in similarity.calls for reasoning in call]


@pytest.mark.parametrize(("thinking", "is_in"), [(ENGLISH_THOUGHTS, 0.0), (GERMAN_THOUGHTS, 1.0)])
def test_ignored_thinking_changes_nothing_and_its_language_is_recorded(thinking: str, is_in: float) -> None:
    plain, _ = thought("", "ignored")
    score, compared = thought(thinking, "ignored")
    assert (score.reward, score.gates, compared) == (1.0, plain.gates, [GOOD])
    assert score.parts == {**plain.parts, "thinking_language": is_in}


def test_judged_thinking_must_be_in_the_language_and_is_compared() -> None:
    in_german, compared = thought(GERMAN_THOUGHTS, "judged")
    assert (in_german.gates["language"], compared) == (True, [f"{GERMAN_THOUGHTS}\n{GOOD}"])
    in_english, _ = thought(ENGLISH_THOUGHTS, "judged")
    assert (in_english.gates["language"], in_english.reward) == (False, 0.0)


def test_refused_thinking_earns_nothing_and_an_empty_block_is_none() -> None:
    score, _ = thought(GERMAN_THOUGHTS, "refused")
    assert (score.gates["thinking"], score.reward) == (False, 0.0)
    assert [gate for gate, is_open in score.gates.items() if not is_open] == ["thinking"]
    assert thought("", "refused")[0].reward == 1.0
