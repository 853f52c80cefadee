"""Make every path of a config absolute, and check the folders of its models."""

from collections.abc import Sequence

from contracts.config.reward import RewardConfig, needs_translator
from contracts.config.run import Config
from contracts.config.section import Section
from contracts.errors import BadInput
from contracts.paths import absolute


def resolve_model(model: str, key: str) -> str:
    """A local folder as an absolute path, or a Hugging Face name as it is.

    Raises:
        BadInput: for something written like a path that is no folder.
    """
    folder = absolute(model)
    if folder.is_dir():
        return str(folder)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        hint = "; `make models` builds the quickstart's" if ".cache/models" in model else ""
        raise BadInput(f"{key} = {model!r}: there is no folder {folder}{hint}")
    return model


def with_absolute_paths(config: Config, *, models: Sequence[str] = ("policy", "pivot", "scorer")) -> Config:
    """The same config with every path absolute, as actors on other processes need it.

    Raises:
        BadInput: one of the named sections' models is no folder and no hub name.
    """
    sections: dict[str, Section] = {
        "run": config.run.model_copy(update={"folder": str(absolute(config.run.folder))}),
        "pivot": config.pivot.model_copy(
            update={
                "cache": _or_empty(config.pivot.cache),
                "chat_template": _or_empty(config.pivot.chat_template),
            }
        ),
        "policy": config.policy.model_copy(update={"chat_template": _or_empty(config.policy.chat_template)}),
        "scorer": config.scorer,
        "data": config.data.model_copy(
            update={
                "path": _data_path(config.data.source, config.data.path),
                "language_files": tuple(str(absolute(file)) for file in config.data.language_files),
            }
        ),
        "evaluation": config.evaluation.model_copy(
            update={"path": _data_path(config.evaluation.source, config.evaluation.path)}
        ),
        "reward": _absolute_reward(config.reward),
        "audit": config.audit.model_copy(update={"source": _named_or_path(config.audit.source, ("builtin",))}),
        "comet": config.comet.model_copy(update={"encoder": _folder_or_name(config.comet.encoder)}),
        "translator": config.translator,
        "critic": config.critic,
    }
    critic = ("critic",) if config.algorithm.name == "ppo" and config.critic.model else ()
    for name in (*models, *_reward_models(config, models), *critic):
        model = resolve_model(getattr(config, name).model, f"{name}.model")
        sections[name] = sections[name].model_copy(update={"model": model})
    return config.model_copy(update=sections)


def _reward_models(config: Config, models: Sequence[str]) -> tuple[str, ...]:
    """Sections of the models that scorers load beside the encoder, where scorers are started at all."""
    if "scorer" not in models:
        return ()
    needed = {
        "comet": config.reward.needs_comet,
        "translator": needs_translator(config.reward, config.comet),
    }
    return tuple(name for name, is_needed in needed.items() if is_needed)


def _absolute_reward(reward: RewardConfig) -> RewardConfig:
    reasoning = reward.reasoning.model_copy(
        update={
            "calibration": _named_or_path(reward.reasoning.calibration, ("auto", "off")),
            "calibration_data": _named_or_path(reward.reasoning.calibration_data, ("builtin",)),
        }
    )
    custom = reward.custom.model_copy(update={"path": _or_empty(reward.custom.path)})
    return reward.model_copy(update={"reasoning": reasoning, "custom": custom})


def _named_or_path(value: str, names: Sequence[str]) -> str:
    """One of the words that a key knows, or a path."""
    return value if value in names else str(absolute(value))


def _folder_or_name(model: str) -> str:
    """A local folder as an absolute path; anything else is a name on the hub, or empty."""
    return str(absolute(model)) if model and absolute(model).is_dir() else model


def _or_empty(path: str) -> str:
    return str(absolute(path)) if path else ""


def _data_path(source: str, path: str) -> str:
    if not path or (source == "huggingface" and not absolute(path).exists()):
        return path
    return str(absolute(path))
