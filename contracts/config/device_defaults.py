"""Fill in the keys whose default depends on the device of a run: sizes of batches, rows, tiles and buckets.

A GPU reads its weights once for a whole batch, so it needs far larger batches than a CPU to be busy. `plan` shows the
values, and a run writes them into its config.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from contracts.config.run import Config
from contracts.config.section import Auto
from contracts.config.workers import EngineConfig
from contracts.errors import BadInput

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class DeviceDefaults:
    """Hold what "auto" means on one device."""

    max_num_seqs: int
    batched_tokens: int  # at least a whole context, too
    row_tokens: int  # at least a whole context, too
    logprob_chunk_tokens: int
    bucket_mib: int


DEFAULTS: Mapping[Device, DeviceDefaults] = {
    "cpu": DeviceDefaults(max_num_seqs=64, batched_tokens=2048, row_tokens=1, logprob_chunk_tokens=256, bucket_mib=128),
    "cuda": DeviceDefaults(
        max_num_seqs=256, batched_tokens=16384, row_tokens=16384, logprob_chunk_tokens=2048, bucket_mib=512
    ),
}


def with_device_defaults(config: Config, device: Device) -> Config:
    """Return the config with a number in place of every "auto" that depends on the device.

    Raises:
        BadInput: an engine could not read a whole context, or not one token of each sequence, at once.
    """
    defaults = DEFAULTS[device]
    learner, weights = config.learner, config.weights
    engines = {
        name: _engine(engine, defaults, device=device, name=name)
        for name, engine in (("policy", config.policy), ("pivot", config.pivot))
    }
    row_tokens = max(defaults.row_tokens, config.policy.max_model_len)
    filled = {
        "learner": learner.model_copy(
            update={
                "row_tokens": _or(learner.row_tokens, row_tokens),
                "logprob_chunk_tokens": _or(learner.logprob_chunk_tokens, defaults.logprob_chunk_tokens),
            }
        ),
        "weights": weights.model_copy(update={"bucket_mib": _or(weights.bucket_mib, defaults.bucket_mib)}),
    }
    return config.model_copy(update=engines | filled)


def device_values(config: Config) -> Mapping[str, int | Auto]:
    """Return the keys that depend on the device, with their values in this config."""
    values: dict[str, int | Auto] = {}
    for name, engine in (("policy", config.policy), ("pivot", config.pivot)):
        values[f"{name}.max_num_seqs"] = engine.max_num_seqs
        values[f"{name}.max_num_batched_tokens"] = engine.max_num_batched_tokens
    values["learner.row_tokens"] = config.learner.row_tokens
    values["learner.logprob_chunk_tokens"] = config.learner.logprob_chunk_tokens
    values["weights.bucket_mib"] = config.weights.bucket_mib
    return values


def _engine(engine: EngineConfig, defaults: DeviceDefaults, *, device: Device, name: str) -> EngineConfig:
    """Return the section of an engine, filled in.

    vLLM computes a prompt in parts on a GPU. On a CPU it computes a prompt whole, so a step must hold one.
    """
    sequences = _or(engine.max_num_seqs, defaults.max_num_seqs)
    batched = _or(engine.max_num_batched_tokens, max(defaults.batched_tokens, engine.max_model_len))
    least, why = (
        (engine.max_model_len, f"{name}.max_model_len {engine.max_model_len}: a CPU computes a prompt whole")
        if device == "cpu"
        else (sequences, f"{name}.max_num_seqs {sequences}: every sequence gets a token in a step")
    )
    if batched < least:
        raise BadInput(
            f'{name}.max_num_batched_tokens {batched} is below {why}; raise it, or write "auto"',
            key=f"{name}.max_num_batched_tokens",
        )
    return engine.model_copy(update={"max_num_seqs": sequences, "max_num_batched_tokens": batched})


def _or(value: int | Auto, default: int) -> int:
    return default if value == "auto" else value
