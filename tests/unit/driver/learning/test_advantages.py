"""Test advantages with numbers worked out by hand, and with a second, dense implementation."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.learning.advantages import (
    Floats,
    gae,
    group_relative,
    has_signal,
    kl_penalties,
    leave_one_out,
    reinforce_plus_plus,
    whitened,
)

REWARDS = st.lists(st.floats(0, 1), min_size=2, max_size=8)
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def ragged(lengths: Sequence[int], *, seed: int) -> list[Floats]:
    random = np.random.default_rng(seed)
    return [random.normal(size=length) for length in lengths]


# --- siblings ---


def test_advantages_are_rewards_less_their_mean() -> None:
    assert group_relative([1.0, 0.0, 0.5]) == pytest.approx([0.5, -0.5, 0.0])


def test_the_standard_deviation_is_that_of_the_population_or_of_a_sample() -> None:
    # Rewards 0, 0, 1: mean 1/3, squared deviations 1/9, 1/9, 4/9 with the sum 2/3.
    population = group_relative([0.0, 0.0, 1.0], std="population", eps=0.5)
    sample = group_relative([0.0, 0.0, 1.0], std="sample", eps=0.5)
    assert population[2] == pytest.approx((2 / 3) / (math.sqrt(2 / 9) + 0.5))
    assert sample[2] == pytest.approx((2 / 3) / (math.sqrt(1 / 3) + 0.5))
    assert group_relative([0.7, None], std="sample") == [0.0, None]


def test_unscored_leaves_the_baseline() -> None:
    # The mean of 1 and 0 is 0.5; with the unscored one read as 0 it would be a third.
    assert group_relative([1.0, None, 0.0]) == [0.5, None, -0.5]
    assert group_relative([math.inf, None]) == [pytest.approx(math.nan, nan_ok=True), None]


def test_advantages_over_the_standard_deviation() -> None:
    # Mean 2, deviations -1 and 1, population standard deviation 1.
    assert group_relative([1.0, 3.0], std="population", eps=0.0) == pytest.approx([-1.0, 1.0])
    assert group_relative([2.0, 6.0], std="population", eps=0.0) == pytest.approx([-1.0, 1.0])


def test_equal_rewards_and_lone_survivors_have_zero_advantage() -> None:
    assert group_relative([0.4, 0.4], std="population") == pytest.approx([0.0, 0.0])
    assert group_relative([None, 0.4], std="population") == [None, 0.0]
    assert group_relative([None, None]) == [None, None]
    assert leave_one_out([None, 0.4]) == [None, 0.0]
    assert leave_one_out([None, None]) == [None, None]


def test_leave_one_out_compares_with_the_mean_of_the_others() -> None:
    # 1 - (0 + 0.5) / 2 = 0.75;  0 - (1 + 0.5) / 2 = -0.75;  0.5 - (1 + 0) / 2 = 0.
    assert leave_one_out([1.0, 0.0, 0.5]) == pytest.approx([0.75, -0.75, 0.0])
    # The unscored one is in no baseline: 1 - 0 and 0 - 1.
    assert leave_one_out([1.0, None, 0.0]) == [1.0, None, -1.0]


@given(REWARDS, st.booleans())
def test_group_relative_equals_the_dense_formula(rewards: list[float], scale_by_std: bool) -> None:
    dense = np.array(rewards)
    centring = np.eye(len(rewards)) - 1 / len(rewards)
    expected = centring @ dense
    if scale_by_std:
        expected = expected / (math.sqrt((expected**2).mean()) + 1e-6)
    assert group_relative(rewards, std="population" if scale_by_std else None) == pytest.approx(
        expected.tolist(), abs=1e-6
    )


@given(REWARDS)
def test_leave_one_out_equals_the_dense_formula(rewards: list[float]) -> None:
    others = (1 - np.eye(len(rewards))) / (len(rewards) - 1)
    expected = np.array(rewards) - others @ np.array(rewards)
    assert leave_one_out(rewards) == pytest.approx(expected.tolist(), abs=1e-6)
    n = len(rewards)
    assert leave_one_out(rewards) == pytest.approx([a * n / (n - 1) for a in group_relative(rewards) if a is not None])


@pytest.mark.parametrize(
    ("rewards", "min_spread", "expected"),
    [
        ([0.0, 1.0], 1e-4, True),
        ([0.5, 0.5], 1e-4, False),
        ([0.5, 0.5], 0.0, False),
        ([0.50000, 0.50001], 1e-4, False),
        ([0.0, 0.25], 0.25, True),
        ([1.0, None], 1e-4, False),
        ([None, None], 1e-4, False),
        ([1.0, None, 0.0], 1e-4, True),
        ([], 1e-4, False),
    ],
)
def test_group_teaches_only_where_scored_rewards_differ(
    rewards: list[float | None], min_spread: float, expected: bool
) -> None:
    assert has_signal(rewards, min_spread=min_spread) is expected


# --- the distance to the reference, as a cost ---


def test_every_token_costs_beta_times_its_distance() -> None:
    # d = log 2, then -log 2, for a policy that makes a token twice, then half as likely as the reference does.
    logprobs, reference = floats(math.log(0.5), math.log(0.25)), floats(math.log(0.25), math.log(0.5))
    costs = kl_penalties(logprobs, reference, beta=0.1)
    assert costs.tolist() == pytest.approx([-0.1 * math.log(2), 0.1 * math.log(2)])


def policy_after_updates(kl_t: Callable[[Floats], Floats], *, num_updates: int = 2000, rate: float = 0.5) -> float:
    """Return KL(policy || reference) after exact policy-gradient updates whose only reward is -kl_t(d).

    The policy has one logit for each of eight tokens. The expected gradient of a reward r is p · (r - mean of r).
    """
    random = np.random.default_rng(0)
    reference = random.normal(size=8)
    reference -= np.log(np.exp(reference).sum())
    logits = reference + random.normal(size=8) * 0.25
    for _ in range(num_updates):
        logprobs = logits - np.log(np.exp(logits).sum())
        policy, reward = np.exp(logprobs), -kl_t(logprobs - reference)
        logits = logits + rate * policy * (reward - policy @ reward)
    logprobs = logits - np.log(np.exp(logits).sum())
    return float(np.exp(logprobs) @ (logprobs - reference))


def test_as_a_reward_only_k1_brings_the_policy_back_to_the_reference() -> None:
    start = policy_after_updates(np.zeros_like)
    assert policy_after_updates(lambda d: -kl_penalties(d, np.zeros(8), beta=1.0)) < start / 100
    assert policy_after_updates(lambda d: d**2 / 2) > 2 * start
    assert policy_after_updates(lambda d: np.expm1(-d) + d) > 2 * start


# --- the whole batch ---


def test_whitening_is_over_all_tokens_of_the_batch() -> None:
    # Tokens 1, 1, 5: mean 7/3, squared deviations 16/9, 16/9, 64/9: variance 32/9.
    first, second = whitened([floats(1.0, 1.0), floats(5.0)], eps=0.0)
    std = math.sqrt(32 / 9)
    assert first.tolist() == pytest.approx([(1 - 7 / 3) / std] * 2)
    assert second.tolist() == pytest.approx([(5 - 7 / 3) / std])


def test_a_token_that_is_not_finite_spoils_no_other() -> None:
    first, second = whitened([floats(1.0, math.nan), floats(3.0)], eps=0.0)
    assert (first[0], second[0]) == (-1.0, 1.0)  # mean 2, standard deviation 1
    assert math.isnan(first[1])


def test_reinforce_plus_plus_without_costs_normalises_rewards_token_by_token() -> None:
    # Reward 1 for three tokens and 0 for one: mean 3/4, variance 3/4 - 9/16 = 3/16.
    first, second = reinforce_plus_plus([1.0, 0.0], [np.zeros(3), np.zeros(1)])
    std = math.sqrt(3 / 16)
    assert first.tolist() == pytest.approx([0.25 / std] * 3)
    assert second.tolist() == pytest.approx([-0.75 / std])


def test_reinforce_plus_plus_charges_a_token_with_what_follows_it() -> None:
    # To come: 1 - 0.3 = 0.7 and 1 - 0.2 = 0.8 in the first, 0 - 0.5 in the second. Mean 1/3.
    first, second = reinforce_plus_plus([1.0, 0.0], [floats(-0.1, -0.2), floats(-0.5)])
    std = math.sqrt(((0.7 - 1 / 3) ** 2 + (0.8 - 1 / 3) ** 2 + (-0.5 - 1 / 3) ** 2) / 3)
    assert first.tolist() == pytest.approx([(0.7 - 1 / 3) / std, (0.8 - 1 / 3) / std])
    assert second.tolist() == pytest.approx([(-0.5 - 1 / 3) / std])


def test_equal_rewards_in_the_whole_batch_teach_nothing() -> None:
    for of_tokens in reinforce_plus_plus([0.3] * 3, [np.zeros(n) for n in (2, 5, 1)]):
        assert of_tokens.tolist() == pytest.approx([0.0] * len(of_tokens), abs=1e-6)


@given(LENGTHS, st.integers(0, 99))
def test_reinforce_plus_plus_equals_the_dense_formula(lengths: list[int], seed: int) -> None:
    penalties = ragged(lengths, seed=seed)
    rewards = np.random.default_rng(seed + 1).normal(size=len(lengths))
    width = max(lengths)
    mask = np.arange(width) < np.array(lengths)[:, None]  # [N, T]
    token_rewards = np.zeros((len(lengths), width))
    for row, costs in enumerate(penalties):
        token_rewards[row, : len(costs)] = costs
    token_rewards[np.arange(len(lengths)), np.array(lengths) - 1] += rewards
    to_come = token_rewards @ np.tril(np.ones((width, width)))  # the sum of this and all later columns
    mean = (to_come * mask).sum() / mask.sum()
    variance = (((to_come - mean) ** 2) * mask).sum() / mask.sum()
    expected = (to_come - mean) / (np.sqrt(variance) + 1e-8)
    for row, found in enumerate(reinforce_plus_plus(rewards.tolist(), penalties)):
        assert found.tolist() == pytest.approx(expected[row, : lengths[row]].tolist(), abs=1e-6)


# --- a critic ---


def test_gae_of_two_tokens() -> None:
    # gamma 0.5, lambda 0.5, values 0.4 and 0.6, reward 1, no costs.
    # Last token: delta = 1 + 0 - 0.6 = 0.4. First: delta = 0 + 0.5 * 0.6 - 0.4 = -0.1; A = -0.1 + 0.25 * 0.4 = 0.
    advantages, returns = gae(1.0, np.zeros(2), floats(0.4, 0.6), gamma=0.5, lam=0.5)
    assert advantages.tolist() == pytest.approx([0.0, 0.4])
    assert returns.tolist() == pytest.approx([0.4, 1.0])


def test_gae_with_lambda_one_is_the_return_less_the_value() -> None:
    # Costs -0.1, -0.2, -0.3 and reward 1: to come 0.4, 0.5, 0.7.
    advantages, returns = gae(1.0, floats(-0.1, -0.2, -0.3), floats(0.5, 0.5, 0.5), gamma=1.0, lam=1.0)
    assert returns.tolist() == pytest.approx([0.4, 0.5, 0.7])
    assert advantages.tolist() == pytest.approx([-0.1, 0.0, 0.2])


@given(LENGTHS, st.integers(0, 99), st.floats(0.1, 1), st.floats(0, 1))
def test_gae_equals_the_dense_formula(lengths: list[int], seed: int, gamma: float, lam: float) -> None:
    """A_t = sum over l of (gamma lambda)^l delta_{t+l}, as one matrix product a response."""
    for number, length in enumerate(lengths):
        random = np.random.default_rng(100 * seed + number)
        penalties, values, reward = random.normal(size=length), random.normal(size=length), float(random.normal())
        token_rewards = penalties + reward * (np.arange(length) == length - 1)
        delta = token_rewards + gamma * np.append(values[1:], 0.0) - values
        ahead = np.arange(length)[None, :] - np.arange(length)[:, None]
        weights = np.where(ahead >= 0, (gamma * lam) ** np.maximum(ahead, 0), 0.0)
        advantages, returns = gae(reward, penalties, values, gamma=gamma, lam=lam)
        assert advantages.tolist() == pytest.approx((weights @ delta).tolist(), abs=1e-6)
        assert returns.tolist() == pytest.approx((weights @ delta + values).tolist(), abs=1e-6)
