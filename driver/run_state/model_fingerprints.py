"""Identify the models, and the choices about them, that a checkpoint was made with: a run never goes on with others."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contracts.config.learning import LoraConfig
from contracts.config.reward import needs_translator
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.fingerprints import model_fingerprint
from contracts.paths import absolute
from languages.facts import languages_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """Identify a model, or a choice about one; two are the same where their digests are."""

    label: str  # as a message names it
    digest: str


def run_fingerprints(config: Config) -> dict[str, Fingerprint]:
    """Return the fingerprints of a run's models and choices, by config key.

    A model that was moved is the same model; another model in its place is not, nor one with another tokenizer.

    Raises:
        BadInput: a file of a model, or a chat template, can't be read.
    """
    trust = config.policy.trust_remote_code
    found = {
        "policy.model": _model(config.policy.model, with_code=trust),
        "pivot.model": _model(config.pivot.model, with_code=config.pivot.trust_remote_code),
        "scorer.model": _model(config.scorer.model, with_code=config.scorer.trust_remote_code),
    }
    if config.algorithm.name == "ppo":
        found["critic.model"] = _model(config.critic.model or config.policy.model, with_code=trust)
    if config.reward.needs_comet:
        found["comet.model"] = _model(config.comet.model)
    if needs_translator(config.reward, config.comet):
        found["translator.model"] = _model(config.translator.model)
    for name, template in (("policy", config.policy.chat_template), ("pivot", config.pivot.chat_template)):
        if template is not None:
            found[f"{name}.chat_template"] = _file(template, key=f"{name}.chat_template")
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


def _model(model: str, *, with_code: bool = False) -> Fingerprint:
    fingerprint = model_fingerprint(model, with_code=with_code)
    return Fingerprint(label=f"{model} ({fingerprint[:12]})", digest=fingerprint)


def _file(path: str, *, key: str) -> Fingerprint:
    try:
        digest = hashlib.blake2b(absolute(path).read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise BadInput(f"{key} = {path!r} can't be read: {error.strerror or error}", key=key) from None
    return Fingerprint(label=f"{path} ({digest[:12]})", digest=digest)


def _lora(lora: LoraConfig | None) -> Fingerprint:
    if lora is None:
        return Fingerprint(label="off", digest="off")
    targets = "all linear layers" if lora.targets == "all" else ", ".join(lora.targets)
    label = f"rank {lora.rank} and alpha {lora.alpha:g} on {targets}"
    return Fingerprint(label=label, digest=label)
