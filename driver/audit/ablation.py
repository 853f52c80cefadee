"""Switch off one thing of a config's reward at a time, and tell what that changes in the audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from contracts.config.reward import CalibratedReasoning, RewardConfig, RewardWeights
from contracts.config.run import Config
from driver.audit.result import AuditResult, Contribution

NOTICEABLE = 0.01
"""Fall of the win rate against a cheat from which on the cheat counts as held back by what was switched off."""
NOTICEABLE_REWARD = 0.02
"""Rise of a cheat's mean reward from which on the cheat counts as earning more."""

Weights = TypeVar("Weights", bound=RewardWeights)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """Hold a config with one thing switched off."""

    switched_off: str
    config: Config


def variants(config: Config) -> list[Variant]:
    """Return a config without each gate, each part that has a weight, and the calibration.

    The weight of a part goes to the other parts, in their proportions. What the config has switched off already is
    left out.
    """
    reward = config.reward
    changed: dict[str, RewardConfig] = {}
    for gate in (name for name, is_on in reward.gates.switches.items() if is_on):
        changed[f"gate {gate}"] = reward.model_copy(update={"gates": reward.gates.model_copy(update={gate: False})})
    for part in RewardWeights.model_fields:
        if (lacking := _without_part(reward, part)) is not None:
            changed[f"part {part}"] = lacking
    if isinstance(reward.reasoning, CalibratedReasoning) and reward.reasoning.is_calibrated:
        reasoning = reward.reasoning.model_copy(update={"calibration": "off"})
        changed["calibration"] = reward.model_copy(update={"reasoning": reasoning})
    return [
        Variant(switched_off=name, config=config.model_copy(update={"reward": lacking}))
        for name, lacking in changed.items()
    ]


def contribution(switched_off: str, result: AuditResult) -> Contribution:
    """Return a variant's audit in a few numbers."""
    return Contribution(
        switched_off=switched_off,
        lowest_win_rate=result.lowest_win_rate,
        mean_win_rate=result.mean_win_rate,
        largest_difference=result.largest_difference,
        by_cheat=result.by_cheat,
        cheat_rewards=result.cheat_rewards,
    )


def held_back(whole: AuditResult, lacking: Contribution) -> dict[str, float]:
    """Return the cheats that win noticeably more often in the variant.

    The value is how much of its win rate faithful text loses; the largest loss comes first.
    """
    before, now = whole.by_cheat, lacking.by_cheat
    return _largest({cheat: rate - now[cheat] for cheat, rate in before.items() if cheat in now}, NOTICEABLE)


def earning_more(whole: AuditResult, lacking: Contribution) -> dict[str, float]:
    """Return the cheats whose mean reward rises noticeably in the variant, and by how much, the largest rise first."""
    before, now = whole.cheat_rewards, lacking.cheat_rewards
    return _largest({cheat: now[cheat] - reward for cheat, reward in before.items() if cheat in now}, NOTICEABLE_REWARD)


def _largest(changes: Mapping[str, float], least: float) -> dict[str, float]:
    found = [(cheat, change) for cheat, change in changes.items() if change >= least]
    return dict(sorted(found, key=lambda change: -change[1]))


def _without_part(reward: RewardConfig, part: str) -> RewardConfig | None:
    """Return the reward without a part; None where the part has no weight, or is the only one with a weight."""
    points = (reward.weights, *reward.schedule)
    if not any(getattr(weights, part) for weights in points) or any(getattr(w, part) == 1 for w in points):
        return None
    return reward.model_copy(
        update={
            "weights": _moved(reward.weights, part),
            "schedule": tuple(_moved(point, part) for point in reward.schedule),
        }
    )


def _moved(weights: Weights, part: str) -> Weights:
    left = 1 - getattr(weights, part)
    others = {name: getattr(weights, name) / left for name in RewardWeights.model_fields if name != part}
    return weights.model_copy(update={**others, part: 0.0})
