"""Identify the models, and the choices about them, that a checkpoint was made with: a run never goes on with others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contracts.config.learning import LoraConfig
from contracts.config.run import Config
from contracts.fingerprints import model_fingerprint
from languages.facts import languages_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """Identify a model, or a choice about one; two are the same where their digests are."""

    label: str  # as a message names it
    digest: str


def run_fingerprints(config: Config) -> dict[str, Fingerprint]:
    """Return the fingerprints of a run's models and choices, by config key.

    A model that was moved is the same model; another model in its place is not.
    """
    found = {f"{name}.model": _model(getattr(config, name).model) for name in ("policy", "pivot", "scorer")}
    if config.algorithm.name == "ppo":
        found["critic.model"] = _model(config.critic.model or config.policy.model)
    if own := config.data.own_languages:
        codes = ", ".join(language.code for language in own)
        digest = languages_digest(own)
        found["data.language_files"] = Fingerprint(label=f"{codes} ({digest[:12]})", digest=digest)
    return found | {
        "learner.dtype": Fingerprint(label=config.learner.dtype, digest=config.learner.dtype),
        "learner.lora": _lora(config.learner.lora),
    }


def differences(
    before: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]
) -> Iterator[tuple[str, Fingerprint, Fingerprint]]:
    """Yield (config key, fingerprint before, fingerprint now) wherever the two are not the same."""
    nothing = Fingerprint(label="none", digest="")
    for key in dict.fromkeys((*before, *now)):
        was, is_now = before.get(key, nothing), now.get(key, nothing)
        if was.digest != is_now.digest:
            yield key, was, is_now


def _model(model: str) -> Fingerprint:
    fingerprint = model_fingerprint(model)
    return Fingerprint(label=f"{model} ({fingerprint[:12]})", digest=fingerprint)


def _lora(lora: LoraConfig | None) -> Fingerprint:
    if lora is None:
        return Fingerprint(label="off", digest="off")
    targets = "all linear layers" if lora.targets == "all" else ", ".join(lora.targets)
    label = f"rank {lora.rank} and alpha {lora.alpha:g} on {targets}"
    return Fingerprint(label=label, digest=label)
