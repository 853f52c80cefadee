"""Test how scored groups become samples: which responses are used, which baseline, what each sample holds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from contracts.batches import TokenMeasures, TrainSample
from contracts.config.learning import PolicyGradientConfig
from contracts.config.reward import RewardConfig
from contracts.rollouts import Candidate, DroppedGroup, Group, Reference, Score, ScoredGroup, Unscored
from driver.learning.samples import learnable, samples_from_critic, samples_from_rewards, to_measure
from tests.builders import a_grpo, a_ppo, a_problem, a_rollout, a_score
from tests.refusals import raised

MISSING = Unscored(reason="timed out")


def scored(
    name: str, *scores: Score | Unscored, versions: Sequence[int] = (), truncated: Sequence[int] = ()
) -> ScoredGroup:
    """Return a scored group whose response i has i + 1 tokens, all of them i."""
    rollouts = tuple(
        a_rollout(
            token_ids=(index,) * (index + 1),
            logprob=-0.5,
            finish_reason="length" if index in truncated else "stop",
            versions=(versions[index] if versions else 0,),
        )
        for index in range(len(scores))
    )
    problem = a_problem(name)
    return ScoredGroup(
        group=Group(group_id=f"1/0/{problem.group_key}", problem=problem, prompt_token_ids=(7, 8), rollouts=rollouts),
        reference=Reference(
            item_id=name, key="k", text="1", num_tokens=1, verdict="accepted", num_votes=1, num_drawn=1
        ),
        scores=scores,
    )


def chosen(
    *groups: ScoredGroup | DroppedGroup, algorithm: PolicyGradientConfig | None = None, policy_version: int = 0
) -> tuple[list[list[Candidate]], list[DroppedGroup]]:
    return learnable(
        groups,
        policy_version=policy_version,
        step=1,
        algorithm=algorithm or a_grpo(),
        reward=RewardConfig(),
    )


def reason(
    group: ScoredGroup, *, algorithm: PolicyGradientConfig | None = None, policy_version: int = 0
) -> tuple[str, str]:
    candidates, (dropped,) = chosen(group, algorithm=algorithm, policy_version=policy_version)
    assert candidates == []
    assert dropped.group_id == group.group.group_id
    return dropped.reason, dropped.detail


def measures(
    groups: Sequence[Sequence[Candidate]],
    *,
    logprob: float = -1.0,
    reference: float | None = None,
    value: float | None = None,
) -> list[TokenMeasures]:
    def of(number: float | None, num: int) -> np.ndarray:
        return np.full(num if number is not None else 0, number or 0.0, dtype=np.float32)

    sizes = [len(candidate.response_token_ids) for group in groups for candidate in group]
    return [
        TokenMeasures(logprobs=of(logprob, n), reference_logprobs=of(reference, n), values=of(value, n)) for n in sizes
    ]


def firsts(groups: Sequence[Sequence[TrainSample]]) -> list[list[float]]:
    """Return the advantage of each response's first token."""
    return [[sample.advantages[0] for sample in group] for group in groups]


# --- who may be learned from ---


def test_a_group_is_dropped_by_the_weights_of_its_own_step() -> None:
    group = scored("a", *(a_score(parts={"answer": 1.0, "reasoning": reasoning}) for reasoning in (0.0, 1.0)))
    only_answers = {"answer": 1.0, "reasoning": 0.0, "numbers": 0.0}
    both = only_answers | {"answer": 0.5, "reasoning": 0.5}
    reward = RewardConfig.model_validate(
        {"combine": "normalised", "schedule": [{"step": 1} | only_answers, {"step": 3} | both]}
    )
    for step, num_chosen in ((1, 0), (2, 1)):
        candidates, dropped = learnable([group], policy_version=0, step=step, algorithm=a_grpo(), reward=reward)
        assert (len(candidates), [one.reason for one in dropped]) == (num_chosen, ["no_signal"] * (1 - num_chosen))


def test_scored_responses_become_candidates_with_what_the_engine_drew() -> None:
    ((first, second),), dropped = chosen(scored("a", a_score(0.2), MISSING, a_score(0.6), truncated=[2]))
    assert dropped == []
    assert first == Candidate(
        group_id="1/0/a/de",
        prompt_token_ids=(7, 8),
        response_token_ids=(0,),
        sampling_logprobs=(-0.5,),
        shaped_reward=0.2,
        is_truncated=False,
        policy_version=0,
    )
    assert (second.response_token_ids, second.shaped_reward, second.is_truncated) == ((2, 2, 2), 0.6, True)


def test_groups_keep_their_order_and_those_dropped_before_stay_dropped() -> None:
    bad = DroppedGroup(group_id="1/1/bad/de", problem=a_problem("bad"), reason="bad_prompt")
    groups = [scored("a", a_score(0), a_score(1)), bad, scored("b", a_score(1), a_score(0))]
    candidates, dropped = chosen(*groups)
    assert [group[0].group_id for group in candidates] == ["1/0/a/de", "1/0/b/de"]
    assert dropped == [bad]


@pytest.mark.parametrize(
    "scores",
    [
        (a_score(0.3), a_score(0.3), a_score(0.3)),
        (a_score(0.3), a_score(0.30005), a_score(0.3)),  # closer than the least spread of 0.0001
        (a_score(0.9), MISSING, MISSING),  # nothing to compare with
    ],
)
@pytest.mark.parametrize("advantage", ["group", "leave_one_out"])
def test_siblings_whose_rewards_do_not_differ_teach_nothing(
    scores: tuple[Score | Unscored, ...], advantage: str
) -> None:
    assert reason(scored("a", *scores), algorithm=a_grpo(advantage=advantage)) == ("no_signal", "")
    for other in (a_grpo(advantage="reinforce++"), a_ppo()):
        candidates, dropped = chosen(scored("a", *scores), algorithm=other)
        assert (len(candidates), dropped) == (1, [])


def test_a_group_without_a_single_score_is_dropped_with_the_scorers_reason() -> None:
    for advantage in ("group", "reinforce++"):
        found = reason(scored("a", MISSING, MISSING), algorithm=a_grpo(advantage=advantage))
        assert found == ("unscored", "timed out")


def test_a_group_drawn_from_older_weights_is_refused_when_it_would_be_learned_from() -> None:
    group = scored("a", a_score(0), a_score(1), versions=(3, 1))
    assert reason(group, policy_version=3) == ("too_stale", "drawn 2 policy versions ago")
    assert chosen(group, policy_version=1)[1] == []


def test_a_group_of_masked_responses_alone_is_dropped() -> None:
    masks = a_grpo(mask_truncated=True)
    cut = scored("a", a_score(0.1), a_score(0.9), MISSING, truncated=[0, 1])
    assert reason(cut, algorithm=masks) == ("truncated", "algorithm.mask_truncated leaves none of its responses")
    assert chosen(cut)[1] == []
    ((first, second),), _ = chosen(scored("a", a_score(0.1), a_score(0.9), truncated=[0]), algorithm=masks)
    assert (first.is_truncated, second.is_truncated) == (True, False)


def test_a_candidate_is_measured_as_it_was_drawn() -> None:
    ((candidate, _),), _ = chosen(scored("a", a_score(0), a_score(1)))
    sample = to_measure(candidate)
    assert (sample.prompt_token_ids, sample.response_token_ids) == ((7, 8), (0,))
    assert sample.advantages == (0.0,)


# --- against rewards ---


def test_unscored_responses_leave_the_baseline() -> None:
    """Rewards 0.2, nothing, 0.6: the baseline is 0.4, not 0.8 / 3."""
    groups, _ = chosen(scored("a", a_score(0.2), MISSING, a_score(0.6)))
    ((first, second),) = samples_from_rewards(groups, (), a_grpo())
    assert first.advantages == pytest.approx((-0.2,))
    assert second.advantages == pytest.approx((0.2,) * 3)


def test_masked_responses_stay_in_their_groups_baseline() -> None:
    algorithm = a_grpo(mask_truncated=True)
    groups, _ = chosen(scored("a", a_score(0.0), a_score(0.6), truncated=[1]), algorithm=algorithm)
    ((first, second),) = samples_from_rewards(groups, (), algorithm)
    assert (first.advantages[0], second.advantages[0]) == pytest.approx((-0.3, 0.3))
    assert (first.is_truncated, second.is_truncated) == (False, True)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, [[-0.4, 0.4], [-0.1, 0.1]]),
        ({"scale_by_std": True}, [[-1, 1], [-1, 1]]),  # population deviations 0.4 and 0.1
        ({"advantage": "leave_one_out"}, [[-0.8, 0.8], [-0.2, 0.2]]),
    ],
)
def test_groups_are_compared_within_themselves(changed: dict[str, object], expected: list[list[float]]) -> None:
    algorithm = a_grpo(**changed)
    groups, _ = chosen(
        scored("a", a_score(0.1), a_score(0.9)), scored("b", a_score(0.4), a_score(0.6)), algorithm=algorithm
    )
    found = firsts(samples_from_rewards(groups, (), algorithm))
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-4)


def test_a_distance_charged_in_the_reward_enters_the_baseline() -> None:
    """k1 = -1 - (-1.5) = 0.5 a token, times 0.1: response 0 (1 token) loses 0.05, response 1 (2 tokens) 0.1.

    Rewards 0.2 and 0.6 become 0.15 and 0.5, with mean 0.325.
    """
    algorithm = a_grpo(kl="reward", kl_estimator="k1", kl_coefficient=0.1)
    groups, _ = chosen(scored("a", a_score(0.2), a_score(0.6)), algorithm=algorithm)
    (samples,) = samples_from_rewards(groups, measures(groups, reference=-1.5), algorithm)
    assert [sample.advantages[0] for sample in samples] == pytest.approx([-0.175, 0.175])
    assert samples[1].reference_logprobs == (-1.5, -1.5)


def test_signal_is_judged_on_the_rewards_before_the_distance_is_charged() -> None:
    algorithm = a_grpo(kl="reward", kl_estimator="k1", kl_coefficient=0.1)
    assert reason(scored("a", a_score(0.5), a_score(0.5)), algorithm=algorithm) == ("no_signal", "")


def test_reinforce_plus_plus_charges_each_token_with_what_follows() -> None:
    """One response of one token and reward 0, one of two and reward 1; each token costs 0.1 x 0.5 = 0.05.

    To come: -0.05 | 0.9, 0.95: mean 0.6, squares 0.4225, 0.09, 0.1225: variance 0.635 / 3.
    """
    algorithm = a_grpo(advantage="reinforce++", kl="reward", kl_estimator="k1", kl_coefficient=0.1)
    groups, _ = chosen(scored("a", a_score(0.0), a_score(1.0)), algorithm=algorithm)
    ((first, second),) = samples_from_rewards(groups, measures(groups, reference=-1.5), algorithm)
    std = (0.635 / 3) ** 0.5
    assert first.advantages == pytest.approx((-0.65 / std,), abs=1e-5)
    assert second.advantages == pytest.approx((0.3 / std, 0.35 / std), abs=1e-5)


# --- against a critic ---


def test_a_critic_judges_token_by_token_and_learns_the_returns() -> None:
    """gamma = lambda = 1: what is to come, 1, less the value of 0.25; costs are none."""
    algorithm = a_ppo(gae_lambda=1.0, whiten_advantages=False)
    groups, _ = chosen(scored("a", a_score(0.0), a_score(1.0)), algorithm=algorithm)
    ((first, second),) = samples_from_critic(groups, measures(groups, value=0.25), algorithm)
    assert (first.advantages, first.returns, first.old_values) == ((-0.25,), (0.0,), (0.25,))
    assert (second.advantages, second.returns, second.old_values) == ((0.75, 0.75), (1.0, 1.0), (0.25, 0.25))


def test_whitening_moves_advantages_and_leaves_returns() -> None:
    algorithm = a_ppo(gae_lambda=1.0)
    groups, _ = chosen(scored("a", a_score(0.0), a_score(1.0)), algorithm=algorithm)
    samples = samples_from_critic(groups, measures(groups, value=0.25), algorithm)[0]
    tokens = [advantage for sample in samples for advantage in sample.advantages]
    assert (np.mean(tokens), np.std(tokens)) == pytest.approx((0.0, 1.0), abs=1e-6)
    assert samples[1].returns == (1.0, 1.0)


# --- measures ---


def test_old_logprobs_are_those_measured_where_a_batch_is_stepped_on_more_than_once() -> None:
    group = scored("a", a_score(0.0), a_score(1.0))
    for changed, expected in (({"epochs": 2}, (-1.0, -1.0)), ({"kl": "loss"}, ())):
        algorithm = a_grpo(**changed)
        groups, _ = chosen(group, algorithm=algorithm)
        ((_, second),) = samples_from_rewards(groups, measures(groups, reference=-2.0), algorithm)
        assert second.old_logprobs == expected
        assert second.reference_logprobs == (-2.0, -2.0)
        assert second.returns == second.old_values == ()


@pytest.mark.parametrize("measure", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("changed", [{}, {"scale_by_std": True}, {"advantage": "leave_one_out"}])
def test_a_measure_that_is_not_finite_reaches_only_its_own_group(changed: dict[str, object], measure: float) -> None:
    algorithm = a_grpo(kl="reward", kl_estimator="k1", **changed)
    groups, _ = chosen(
        scored("a", a_score(0.0), a_score(1.0)), scored("b", a_score(0.0), a_score(1.0)), algorithm=algorithm
    )
    known = measures(groups, reference=-1.0)
    known[0] = replace(known[0], logprobs=np.array([measure], dtype=np.float32))
    bad, good = firsts(samples_from_rewards(groups, known, algorithm))
    assert not np.isfinite(bad).any()
    assert np.sign(good) == pytest.approx([-1, 1])


@pytest.mark.parametrize(("reference", "value", "lacking"), [(None, 0.0, "reference_logprobs"), (-1.0, None, "values")])
def test_measures_that_lack_what_the_algorithm_reads_are_refused(
    reference: float | None, value: float | None, lacking: str
) -> None:
    algorithm = a_ppo(kl="loss")
    groups, _ = chosen(scored("a", a_score(1.0)), algorithm=algorithm)
    with raised(ValueError, f" 0 {lacking}"):
        samples_from_critic(groups, measures(groups, reference=reference, value=value), algorithm)
    with pytest.raises(ValueError):
        samples_from_critic(groups, (), algorithm)
