"""Test the majority vote over the pivot's responses: which vote, which wins, and when the item is undecided."""

import pytest

from contracts.rollouts import FinishReason, Rollout
from driver.references.vote import vote


def response(text: str, finish_reason: FinishReason = "stop") -> Rollout:
    return Rollout(token_ids=(1,), logprobs=(-1.0,), text=text, finish_reason=finish_reason, token_versions=(0,))


def says(answer: str) -> Rollout:
    return response(f"Some reasoning. The answer is {answer}.")


CUT_OFF = response("The answer is 17. And then it goes on and", "length")
NO_ANSWER = response("I do not know.")


def outcome(*responses: Rollout) -> tuple[str, int, int]:
    voted = vote(responses)
    return voted.verdict, voted.chosen, voted.num_votes


def test_the_first_response_with_the_answer_of_most_stands_for_all() -> None:
    assert outcome(says("12"), says("17"), says("17"), says("9"), says("17")) == ("accepted", 1, 3)


def test_spellings_of_one_answer_vote_together() -> None:
    assert outcome(says("1,200"), says("17"), says("1200.0"), says("17"), says("1200")) == ("accepted", 0, 3)


def test_two_answers_with_equally_many_votes_decide_nothing() -> None:
    assert outcome(says("17"), says("12"), says("12"), says("17"), says("9")) == ("undecided", 0, 2)


def test_the_winner_needs_no_half_of_the_votes_here() -> None:
    assert outcome(says("17"), says("12"), says("17"), says("9"), NO_ANSWER) == ("accepted", 0, 2)


def test_what_was_cut_off_does_not_vote_and_can_not_be_chosen() -> None:
    assert outcome(CUT_OFF, CUT_OFF, says("12")) == ("accepted", 2, 1)


def test_all_cut_off_is_truncated_and_not_undecided() -> None:
    assert outcome(CUT_OFF, CUT_OFF) == ("truncated", 0, 0)
    assert outcome(CUT_OFF) == ("truncated", 0, 0)


def test_several_without_any_answer_are_undecided() -> None:
    assert outcome(CUT_OFF, NO_ANSWER, NO_ANSWER) == ("undecided", 1, 0)


@pytest.mark.parametrize("alone", [says("17"), NO_ANSWER])
def test_one_response_alone_is_taken_as_it_is(alone: Rollout) -> None:
    assert outcome(alone) == ("accepted", 0, 1)


def test_no_response_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError):
        vote(())
