"""Test the comparison without an encoder: the probability that the policy gave the answer is passed on."""

import math

import pytest

from rewards.reasoning.similarity import ReasoningPair
from rewards.reasoning.without_encoder import LikelihoodSimilarity
from tests.refusals import raised


def pair(answer_probability: float = math.nan) -> ReasoningPair:
    return ReasoningPair(language="de", reasoning="a", reference="b", answer_probability=answer_probability)


def test_the_value_is_the_probability_and_unknown_stays_unknown() -> None:
    values = LikelihoodSimilarity().similarities([pair(0.25), pair(), pair(1.0), pair(0.0)])
    assert values.tolist()[0] == 0.25
    assert math.isnan(values[1])
    assert values.tolist()[2:] == [1.0, 0.0]
    assert LikelihoodSimilarity().similarities([]).shape == (0,)


@pytest.mark.parametrize("wrong", [-0.5, 1.5, math.inf])
def test_a_value_that_is_no_probability_is_an_error(wrong: float) -> None:
    with raised(ValueError, f" {wrong:g};"):
        LikelihoodSimilarity().similarities([pair(0.5), pair(wrong)])


def test_the_policy_is_not_in_the_fingerprint() -> None:
    assert LikelihoodSimilarity().fingerprint == "likelihood"
