"""Test how components, gates and weights become a reward, and what a group's advantages are taken of."""

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from contracts.config.reward import RewardConfig, RewardWeights, WeightPoint
from contracts.rollouts import Score, Unscored
from rewards.compose import Combination
from tests.refusals import raised

ANSWER_FIRST = RewardWeights(answer=0.6, reasoning=0.4, numbers=0)


def with_weights(weights: RewardWeights = ANSWER_FIRST, *, combine: str = "sum", floor: float = 0.05) -> Combination:
    return Combination(RewardConfig.model_validate({"weights": weights, "combine": combine, "spread_floor": floor}))


def parts(answer: float, reasoning: float) -> dict[str, float]:
    return {"answer": answer, "reasoning": reasoning, "numbers": 0.0}


def a_score(values: Mapping[str, float], *, is_open: bool = True) -> Score:
    return Score(reward=0.123, parts=values, gates={"language": is_open}, answer="1")


def test_wrong_answer_never_outranks_a_right_one_while_answers_weigh_more() -> None:
    wrong = with_weights().reward(parts(0, 1), {"format": True}, step=0)
    right = with_weights().reward(parts(1, 0), {"format": True}, step=0)
    assert (wrong, right) == (pytest.approx(0.4), pytest.approx(0.6))


def test_any_shut_gate_means_zero() -> None:
    assert with_weights().reward(parts(1, 1), {"format": True, "language": False}, step=0) == 0.0


def test_parts_without_a_weight_are_not_paid() -> None:
    values = parts(1, 0.5) | {"numbers": 1.0, "language": 1.0}
    assert with_weights().reward(values, {}, step=0) == pytest.approx(0.8)


@pytest.mark.parametrize("part", [1.5, -0.1, float("nan")])
def test_a_part_outside_of_its_range_is_an_error(part: float) -> None:
    with raised(ValueError, "'reasoning'", f"{part}"):
        with_weights().reward(parts(1, part), {}, step=0)


def test_a_part_that_is_paid_for_must_be_there() -> None:
    with raised(ValueError, "'reasoning'", "None"):
        with_weights().reward({"answer": 1.0}, {}, step=0)


def test_answer_gated_pays_a_wrong_answer_nothing_and_a_right_one_as_before() -> None:
    gated = with_weights(combine="answer_gated")
    assert gated.reward(parts(0, 1), {}, step=0) == 0.0
    assert gated.reward(parts(1, 0.5), {}, step=0) == pytest.approx(0.8)
    # An answer that COMET finds half right: 0.6 x 0.5 + 0.5 x 0.4 x 1.
    assert gated.reward(parts(0.5, 1), {}, step=0) == pytest.approx(0.5)


def test_weights_follow_their_schedule_in_a_straight_line() -> None:
    points = (
        WeightPoint(step=10, answer=1, reasoning=0, numbers=0),
        WeightPoint(step=20, answer=0.5, reasoning=0.5, numbers=0),
    )
    weights = Combination(RewardConfig(schedule=points)).weights
    found = {step: (weights(step)["answer"], weights(step)["reasoning"]) for step in (1, 10, 14, 20, 99)}
    assert found == {
        1: (1, 0),
        10: (1, 0),
        14: (pytest.approx(0.8), pytest.approx(0.2)),
        20: (0.5, 0.5),
        99: (0.5, 0.5),
    }


def test_without_a_schedule_the_weights_are_those_of_the_config_at_every_step() -> None:
    default = Combination(RewardConfig())
    assert default.weights(0) == default.weights(1000) == RewardWeights().model_dump()


def test_a_schedule_out_of_order_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        RewardConfig(schedule=(WeightPoint(step=5), WeightPoint(step=5)))
    (mistake,) = caught.value.errors()
    assert mistake.get("ctx", {})["error"].key == "reward.schedule"


def test_shaped_rewards_of_a_sum_are_the_rewards_and_an_unscored_one_has_none() -> None:
    scores = [a_score(parts(1, 1)), Unscored(reason="x")]
    assert with_weights().shaped_rewards(scores, step=0) == [0.123, None]


def test_normalised_signals_weigh_each_part_by_its_own_spread() -> None:
    # answer 1, 0: mean 0.5, std 0.5: z = 1, -1. reasoning 0.4, 0.6: mean 0.5, std 0.1: z = -1, 1.
    scores = [a_score(parts(1, 0.4)), Unscored(reason="x"), a_score(parts(0, 0.6))]
    shaped = with_weights(combine="normalised").shaped_rewards(scores, step=0)
    assert shaped == [pytest.approx(0.6 - 0.4), None, pytest.approx(-0.6 + 0.4)]


def test_a_spread_below_the_floor_is_not_blown_up() -> None:
    # reasoning 0.49, 0.51: std 0.01, divided by the floor 0.1 instead: z = -0.1, 0.1.
    scores = [a_score(parts(1, 0.49)), a_score(parts(1, 0.51))]
    shaped = with_weights(combine="normalised", floor=0.1).shaped_rewards(scores, step=0)
    assert shaped == [pytest.approx(-0.04), pytest.approx(0.04)]


def test_a_shut_response_counts_as_nothing_in_every_part() -> None:
    # Shut, its parts are 0 and 0: answer 1, 0 and reasoning 1, 0 both give z = 1, -1.
    scores = [a_score(parts(1, 1)), a_score(parts(1, 1), is_open=False)]
    shaped = with_weights(combine="normalised").shaped_rewards(scores, step=0)
    assert shaped == [pytest.approx(1.0), pytest.approx(-1.0)]
