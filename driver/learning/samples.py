"""Turn scored groups into the learner's input: candidates, then samples with an advantage for every token.

    scored groups -> candidates, or dropped with a reason -> (measured by the learner) -> train samples

This module decides which responses may be learned from, and which baseline belongs to which advantage. Pure: the
measures of the models come from the learner. The order of groups, and of responses in a group, is kept.
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from contracts.batches import TokenMeasures, TrainSample
from contracts.config.learning import GrpoConfig, OpdConfig, PolicyGradientConfig, PpoConfig
from contracts.config.reward import RewardConfig
from contracts.rollouts import Candidate, DroppedGroup, ScoredGroup, Unscored
from driver.learning.advantages import (
    Floats,
    distillation,
    gae,
    group_relative,
    has_signal,
    kl_penalties,
    leave_one_out,
    reinforce_plus_plus,
    whitened,
)
from rewards.compose import Combination

NOT_MEASURED = np.zeros(0, dtype=np.float32)

_UNKNOWN = TokenMeasures(logprobs=NOT_MEASURED, reference_logprobs=NOT_MEASURED, values=NOT_MEASURED)


def learnable(
    groups: Sequence[ScoredGroup | DroppedGroup],
    *,
    policy_version: int,
    step: int,
    algorithm: PolicyGradientConfig,
    reward: RewardConfig,
) -> tuple[list[list[Candidate]], list[DroppedGroup]]:
    """Return the candidates of the learnable groups, and the dropped groups. Each group is in exactly one of the two.

    `policy_version` is that of the weights that will learn. The buffer bounds the staleness; it is checked again here,
    where samples are used.
    """
    chosen: list[list[Candidate]] = []
    dropped: list[DroppedGroup] = []
    for group in groups:
        if isinstance(group, DroppedGroup):
            dropped.append(group)
            continue
        why = why_not_learnable(group, policy_version=policy_version, step=step, algorithm=algorithm, reward=reward)
        if why is not None:
            dropped.append(why)
        else:
            chosen.append(_candidates(group, Combination(reward).shaped_rewards(group.scores, step=step)))
    return chosen, dropped


def why_not_learnable(
    scored: ScoredGroup, *, policy_version: int, step: int, algorithm: PolicyGradientConfig, reward: RewardConfig
) -> DroppedGroup | None:
    """Return why a group can't be learned from, or None if it can.

    Only a baseline within the group needs different rewards: the others also learn from equal ones.
    """
    shaped_rewards = Combination(reward).shaped_rewards(scored.scores, step=step)
    rollouts = scored.group.rollouts

    def dropped(reason: str, detail: str = "") -> DroppedGroup:
        return DroppedGroup(group_id=scored.group.group_id, problem=scored.group.problem, reason=reason, detail=detail)

    age = policy_version - oldest_version(scored)
    if age > algorithm.max_staleness:
        return dropped("too_stale", f"drawn {age} policy versions ago")
    if all(shaped is None for shaped in shaped_rewards):
        return dropped("unscored", next(score.reason for score in scored.scores if isinstance(score, Unscored)))
    if algorithm.has_group_baseline and not has_signal(shaped_rewards, min_spread=reward.min_group_spread):
        return dropped("no_signal")
    is_whole = [not rollout.is_truncated for rollout, s in zip(rollouts, shaped_rewards, strict=True) if s is not None]
    if algorithm.mask_truncated and not any(is_whole):
        return dropped("truncated", "algorithm.mask_truncated leaves none of its responses")
    return None


def oldest_version(scored: ScoredGroup) -> int:
    """Return the policy version that drew the group's oldest token."""
    return min(rollout.policy_version for rollout in scored.group.rollouts)


def _candidates(scored: ScoredGroup, shaped_rewards: Sequence[float | None]) -> list[Candidate]:
    """Return the scored responses; unscored ones are neither in the baseline nor in the loss."""
    group = scored.group
    return [
        Candidate(
            group_id=group.group_id,
            prompt_token_ids=group.prompt_token_ids,
            response_token_ids=rollout.token_ids,
            sampling_logprobs=rollout.logprobs,
            shaped_reward=shaped_reward,
            is_truncated=rollout.is_truncated,
            policy_version=rollout.policy_version,
        )
        for rollout, shaped_reward in zip(group.rollouts, shaped_rewards, strict=True)
        if shaped_reward is not None
    ]


def to_measure(candidate: Candidate) -> TrainSample:
    """Return the candidate as a sample to be measured: nothing is learned from it, so its advantages are 0."""
    return TrainSample(
        group_id=candidate.group_id,
        prompt_token_ids=candidate.prompt_token_ids,
        response_token_ids=candidate.response_token_ids,
        sampling_logprobs=candidate.sampling_logprobs,
        advantages=(0.0,) * len(candidate.response_token_ids),
        policy_version=candidate.policy_version,
        is_truncated=candidate.is_truncated,
    )


def samples_from_rewards(
    groups: Sequence[Sequence[Candidate]], measures: Sequence[TokenMeasures], algorithm: GrpoConfig
) -> list[list[TrainSample]]:
    """Return the samples of each group, with advantages relative to the group or to the batch.

    `measures` are in the order of the candidates; they are not read if the algorithm needs none.

    Raises:
        ValueError: some candidates have no measures, or the measures lack what the algorithm needs.
    """
    candidates = [candidate for group in groups for candidate in group]
    known = list(measures) if algorithm.needs_measuring else [_UNKNOWN] * len(candidates)
    _check(candidates, known, algorithm)
    penalties = [_penalties(*pair, algorithm) for pair in zip(candidates, known, strict=True)]
    if algorithm.advantage == "reinforce++":
        shaped_rewards = [candidate.shaped_reward for candidate in candidates]
        advantages = [tuple(of_tokens.tolist()) for of_tokens in reinforce_plus_plus(shaped_rewards, penalties)]
    else:
        advantages = _group_advantages(groups, penalties, algorithm)
    no_returns: list[tuple[float, ...]] = [()] * len(candidates)
    samples = [
        _sample(*facts, algorithm=algorithm) for facts in zip(candidates, known, advantages, no_returns, strict=True)
    ]
    return _as_groups(samples, groups)


def samples_from_critic(
    groups: Sequence[Sequence[Candidate]], measures: Sequence[TokenMeasures], algorithm: PpoConfig
) -> list[list[TrainSample]]:
    """Return the samples of each group, with advantages relative to the critic's values, whitened if configured.

    The returns, from which the critic learns, are never whitened.

    Raises:
        ValueError: some candidates have no measures, or the measures lack what the algorithm needs.
    """
    candidates = [candidate for group in groups for candidate in group]
    _check(candidates, measures, algorithm)
    pairs = [
        gae(
            candidate.shaped_reward,
            _penalties(candidate, measured, algorithm),
            measured.values.astype(np.float64),
            gamma=algorithm.gae_gamma,
            lam=algorithm.gae_lambda,
        )
        for candidate, measured in zip(candidates, measures, strict=True)
    ]
    advantages = [advantage for advantage, _ in pairs]
    if algorithm.whiten_advantages:
        advantages = whitened(advantages)
    advantages = [tuple(of_tokens.tolist()) for of_tokens in advantages]
    returns = [tuple(of_tokens.tolist()) for _, of_tokens in pairs]
    samples = [
        _sample(*facts, algorithm=algorithm) for facts in zip(candidates, measures, advantages, returns, strict=True)
    ]
    return _as_groups(samples, groups)


def samples_from_teacher(
    groups: Sequence[Sequence[Candidate]],
    measures: Sequence[TokenMeasures],
    taught: Sequence[TokenMeasures],
    algorithm: OpdConfig,
) -> list[list[TrainSample]]:
    """Return the samples of each group, with advantages from a teacher's log-probabilities.

    `measures` are of the candidates; `taught` are of the same responses behind the teacher's prompts.

    Raises:
        ValueError: some candidates have no measures, or the measures lack what the algorithm needs.
    """
    candidates = [candidate for group in groups for candidate in group]
    _check(candidates, measures, algorithm)
    _check(candidates, taught, algorithm)
    clip = None if algorithm.advantage_clip == "off" else algorithm.advantage_clip
    samples = [
        _sample(
            candidate,
            measured,
            tuple(distillation(measured.logprobs, teacher.logprobs, clip=clip).tolist()),
            (),
            algorithm=algorithm,
        )
        for candidate, measured, teacher in zip(candidates, measures, taught, strict=True)
    ]
    return _as_groups(samples, groups)


def _check(candidates: Sequence[Candidate], known: Sequence[TokenMeasures], algorithm: PolicyGradientConfig) -> None:
    """Check that every candidate has the measures that the algorithm needs.

    Raises:
        ValueError: measures are missing.
    """
    if len(known) != len(candidates):
        raise ValueError(f"{len(known)} measures for {len(candidates)} candidates")
    needed = {
        "logprobs": algorithm.needs_measuring,
        "reference_logprobs": algorithm.kl != "none",
        "values": isinstance(algorithm, PpoConfig),
    }
    for candidate, measured in zip(candidates, known, strict=True):
        for name in (name for name, is_needed in needed.items() if is_needed):
            if (num := getattr(measured, name).size) != len(candidate.response_token_ids):
                raise ValueError(
                    f"a response of group {candidate.group_id} has {len(candidate.response_token_ids)} tokens, and the "
                    f"learner measured {num} {name}"
                )


def _penalties(candidate: Candidate, measured: TokenMeasures, algorithm: PolicyGradientConfig) -> Floats:
    """Return the penalty of each token [T]; zeros unless the distance to the reference is charged in the reward."""
    if algorithm.kl != "reward":
        return np.zeros(len(candidate.response_token_ids))
    return kl_penalties(measured.logprobs, measured.reference_logprobs, beta=algorithm.kl_coefficient)


def _group_advantages(
    groups: Sequence[Sequence[Candidate]], penalties: Sequence[Floats], algorithm: GrpoConfig
) -> list[tuple[float, ...]]:
    """Return for each response its advantage, repeated for each token [T]; token penalties are part of its reward."""
    costs = iter(penalties)
    advantages: list[tuple[float, ...]] = []
    for group in groups:
        rewards = [candidate.shaped_reward + float(next(costs).sum()) for candidate in group]
        if algorithm.advantage == "leave_one_out":
            relative = leave_one_out(rewards)
        else:
            std = algorithm.std_kind if algorithm.scale_by_std else None
            relative = group_relative(rewards, std=std, eps=algorithm.std_epsilon)
        for candidate, advantage in zip(group, relative, strict=True):
            assert advantage is not None, "every candidate has a reward"
            advantages.append((advantage,) * len(candidate.response_token_ids))
    return advantages


def _sample(
    candidate: Candidate,
    measured: TokenMeasures,
    advantages: tuple[float, ...],
    returns: tuple[float, ...],
    *,
    algorithm: PolicyGradientConfig,
) -> TrainSample:
    """Return the sample of a candidate.

    With one optimiser step a batch there are no old log-probabilities: the weights that learn are those that were
    measured, so the ratio is 1, and the learner's current log-probabilities give this exactly.
    """
    is_reused = algorithm.optimizer_steps > 1
    return TrainSample(
        group_id=candidate.group_id,
        prompt_token_ids=candidate.prompt_token_ids,
        response_token_ids=candidate.response_token_ids,
        sampling_logprobs=candidate.sampling_logprobs,
        advantages=advantages,
        policy_version=candidate.policy_version,
        is_truncated=candidate.is_truncated,
        old_logprobs=tuple(measured.logprobs.tolist()) if is_reused else (),
        reference_logprobs=tuple(measured.reference_logprobs.tolist()),
        returns=returns,
        old_values=tuple(measured.values.tolist()),
    )


def _as_groups(samples: Sequence[TrainSample], groups: Sequence[Sequence[Candidate]]) -> list[list[TrainSample]]:
    """Return the samples in the groups of their candidates."""
    rest = iter(samples)
    return [list(islice(rest, len(group))) for group in groups]
