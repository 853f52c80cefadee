"""What a run's results rest on beside its config file: the weights behind the names of its models.

Owns which models and choices a checkpoint remembers, so that it is never gone on from with others.
"""

from contracts.config.learning import LoraConfig
from contracts.config.run import Config
from contracts.fingerprints import model_fingerprint
from driver.run_state.checkpoint_files import Origin
from languages.facts import languages_digest


def run_origins(config: Config) -> dict[str, Origin]:
    """By config key. A model that was moved is the same one; another model in its place isn't."""
    origins = {f"{name}.model": _model(getattr(config, name).model) for name in ("policy", "pivot", "scorer")}
    if config.algorithm.name == "ppo":
        origins["critic.model"] = _model(config.critic.model or config.policy.model)
    if own := config.data.own_languages:
        codes = ", ".join(language.code for language in own)
        digest = languages_digest(own)
        origins["data.language_files"] = Origin(told=f"{codes} ({digest[:12]})", digest=digest)
    return origins | {
        "learner.dtype": Origin(told=config.learner.dtype, digest=config.learner.dtype),
        "learner.lora": _lora(config.learner.lora),
    }


def _model(model: str) -> Origin:
    fingerprint = model_fingerprint(model)
    return Origin(told=f"{model} ({fingerprint[:12]})", digest=fingerprint)


def _lora(lora: LoraConfig) -> Origin:
    if not lora.rank:
        return Origin(told="off", digest="off")
    targets = ", ".join(lora.targets) or "all linear layers"
    told = f"rank {lora.rank} and alpha {lora.alpha:g} on {targets}"
    return Origin(told=told, digest=told)
