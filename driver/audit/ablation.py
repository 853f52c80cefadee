"""An ablation: the same config with one thing of its reward switched off, and what that changes in the audit.

Owns which things are switched off. Pure; must not know how a config is audited.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from contracts.config.reward import GatesConfig, RewardConfig, RewardWeights
from contracts.config.run import Config
from driver.audit.result import AuditResult, Contribution

NOTICEABLE = 0.01
"""Share of groups by which a cheat's win rate must fall for it to count as held back."""
NOTICEABLE_REWARD = 0.02
"""By which a cheat's mean reward must rise for it to count as earning more."""

Weights = TypeVar("Weights", bound=RewardWeights)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A config that lacks one thing."""

    switched_off: str
    config: Config


def variants(config: Config) -> list[Variant]:
    """Every gate that is on, every part that has a weight (its weight goes to the others, in their proportions), and
    the calibration. What the config has switched off already is left out."""
    reward = config.reward
    changed: dict[str, RewardConfig] = {}
    for gate in _gates_on(reward.gates):
        changed[f"gate {gate}"] = reward.model_copy(update={"gates": reward.gates.model_copy(update={gate: False})})
    for part in RewardWeights.model_fields:
        if (lacking := _without_part(reward, part)) is not None:
            changed[f"part {part}"] = lacking
    if reward.reasoning.calibration != "off":
        reasoning = reward.reasoning.model_copy(update={"calibration": "off"})
        changed["calibration"] = reward.model_copy(update={"reasoning": reasoning})
    return [
        Variant(switched_off=name, config=config.model_copy(update={"reward": lacking}))
        for name, lacking in changed.items()
    ]


def contribution(switched_off: str, result: AuditResult) -> Contribution:
    """A variant's audit in a few numbers."""
    return Contribution(
        switched_off=switched_off,
        lowest_win_rate=result.lowest_win_rate,
        mean_win_rate=result.mean_win_rate,
        largest_difference=result.largest_difference,
        by_cheat=result.by_cheat,
        cheat_rewards=result.cheat_rewards,
    )


def held_back(whole: AuditResult, lacking: Contribution) -> dict[str, float]:
    """The cheats that win noticeably more often without it: how much of its win rate faithful text loses, the most
    first."""
    before, now = whole.by_cheat, lacking.by_cheat
    return _largest({cheat: rate - now[cheat] for cheat, rate in before.items() if cheat in now}, NOTICEABLE)


def earning_more(whole: AuditResult, lacking: Contribution) -> dict[str, float]:
    """The cheats whose mean reward rises noticeably without it, win or not: by how much, the most first."""
    before, now = whole.cheat_rewards, lacking.cheat_rewards
    return _largest({cheat: now[cheat] - reward for cheat, reward in before.items() if cheat in now}, NOTICEABLE_REWARD)


def _largest(changes: Mapping[str, float], least: float) -> dict[str, float]:
    found = [(cheat, change) for cheat, change in changes.items() if change >= least]
    return dict(sorted(found, key=lambda change: -change[1]))


def _gates_on(gates: GatesConfig) -> list[str]:
    switches = [name for name, field in GatesConfig.model_fields.items() if field.annotation is bool]
    return [name for name in switches if getattr(gates, name)]


def _without_part(reward: RewardConfig, part: str) -> RewardConfig | None:
    """None where the part has no weight, or is the only one that has."""
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
