"""Refuse keys and values of earlier versions, and say what is written in their place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


class _AnyValue:
    """Stand for every value of a key."""


_ANY = _AnyValue()


@dataclass(frozen=True)
class Replaced:
    """Say what replaces a key, or one of its values."""

    now: str  # what to do; "{value}" is the value that was found
    value: object = _ANY  # the only value that is refused; _ANY: the key itself is refused


_LEAVE_OUT = "leave the key out"

REPLACED: Mapping[str, Replaced] = {
    "reward.reasoning.judge": Replaced("write reward.reasoning.method = {value}"),
    "algorithm.advantage": Replaced('leave the key out: algorithm.name = "ppo" always uses GAE', value="gae"),
    "algorithm.dual_clip": Replaced('write "off"', value=0),
    "audit.languages": Replaced('write "all"', value=[]),
    "checkpoint.best_metric": Replaced('write "off"', value=""),
    "checkpoint.every_steps": Replaced('write "off"', value=0),
    "comet.encoder": Replaced(_LEAVE_OUT, value=""),
    "critic.model": Replaced(_LEAVE_OUT, value=""),
    "critic.value_clip": Replaced('write "off"', value=0),
    "data.shares": Replaced('write "equal"', value=[]),
    "evaluation.languages": Replaced('write "auto"', value=[]),
    "evaluation.task": Replaced(_LEAVE_OUT),
    "evaluation.max_response_tokens": Replaced('write "auto"', value=0),
    "export.hub_repo": Replaced(_LEAVE_OUT, value=""),
    "learner.lora.rank": Replaced("leave [learner.lora] out", value=0),
    "learner.lora.targets": Replaced('write "all"', value=[]),
    "learner.row_tokens": Replaced('write "auto"', value=0),
    "pivot.cache": Replaced('write "off"', value=""),
    "pivot.chat_template": Replaced(_LEAVE_OUT, value=""),
    "policy.chat_template": Replaced(_LEAVE_OUT, value=""),
    "policy.max_workers": Replaced('write "auto"', value=0),
    "prompt.system": Replaced(_LEAVE_OUT, value=""),
    "reward.custom.path": Replaced(_LEAVE_OUT, value=""),
    "reward.reasoning.chunk_tokens": Replaced('write "auto"', value=0),
    "run.name": Replaced(_LEAVE_OUT, value=""),
}
"""Keys of earlier versions. `algorithm.clip_low = 0` and `clip_high = 0` were "auto" and are plain numbers now."""


def find_old_keys(values: Mapping[str, object]) -> Iterator[tuple[str, object, Replaced]]:
    """Yield each key of a config that an earlier version had, its value and what replaces it."""
    for key, replaced in REPLACED.items():
        found, value = _get(values, key)
        if found and (replaced.value is _ANY or (value == replaced.value and not isinstance(value, bool))):
            yield key, value, replaced


def _get(values: Mapping[str, object], key: str) -> tuple[bool, object]:
    """Return whether a dotted key is there, and its value."""
    inner: object = values
    for name in key.split("."):
        if not isinstance(inner, Mapping) or name not in inner:
            return False, None
        inner = inner[name]
    return True, inner
