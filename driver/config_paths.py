"""Make every path of a config absolute, and check the folders of its models."""

from collections.abc import Sequence
from typing import TypeVar

from cluster.layout import training_roles
from contracts.config.data import BuiltinSource, DataConfig, EvaluationConfig, HubSource, LogicSource
from contracts.config.reward import CalibratedReasoning, RewardConfig, needs_translator
from contracts.config.run import Config
from contracts.config.section import Section
from contracts.errors import BadInput, refuse_all
from contracts.model_names import check_revision, is_path
from contracts.paths import IS_INSTALLED, absolute
from driver.problems.parallel import BUILTIN_SOURCES

Problems = TypeVar("Problems", bound=DataConfig | EvaluationConfig)


def resolve_model(model: str, key: str) -> str:
    """Return a local folder as an absolute path, and a Hugging Face name as it is.

    Raises:
        BadInput: the value is written like a path, and there is no such folder.
    """
    folder = absolute(model)
    if folder.is_dir():
        return str(folder)
    check_revision(model, key)
    if is_path(model):
        builder = "pb-rlsvr-quickstart" if IS_INSTALLED else "make models"
        hint = f"; `{builder}` builds the quickstart's" if ".cache/models" in model else ""
        raise BadInput(f"{key} = {model!r}: there is no folder {folder}{hint}", key=key)
    return model


def with_absolute_paths(config: Config, *, models: Sequence[str] = ("policy", "pivot", "scorer")) -> Config:
    """Return the same config with every path absolute, as actors in other processes need it.

    Args:
        config: the config as it was loaded.
        models: the sections whose models the command loads.

    Raises:
        BadInput: the model of one of these sections is neither a folder nor a name on the hub.
    """
    sections: dict[str, Section] = {
        "run": config.run.model_copy(update={"folder": str(absolute(config.run.folder))}),
        "pivot": config.pivot.model_copy(
            update={
                "cache": _word_or_path(config.pivot.cache, ("off",)),
                "chat_template": _path(config.pivot.chat_template),
            }
        ),
        "policy": config.policy.model_copy(update={"chat_template": _path(config.policy.chat_template)}),
        "scorer": config.scorer,
        "data": _with_path(config.data).model_copy(
            update={"language_files": tuple(str(absolute(file)) for file in config.data.language_files)}
        ),
        "evaluation": _with_path(config.evaluation).model_copy(
            update={
                "tasks": tuple(str(absolute(task)) if "." in task else task for task in config.evaluation.tasks),
                "data_folder": _path(config.evaluation.data_folder),
                "paths": {task: str(absolute(path)) for task, path in config.evaluation.paths.items()},
            }
        ),
        "reward": _with_reward_paths(config.reward),
        "audit": config.audit.model_copy(
            update={
                "source": _word_or_path(config.audit.source, BUILTIN_SOURCES),
                "outputs": _path(config.audit.outputs),
            }
        ),
        "comet": config.comet.model_copy(update={"encoder": _folder_or_name(config.comet.encoder)}),
        "translator": config.translator,
        "critic": config.critic,
    }
    mistakes: list[BadInput] = []
    for name in loaded_models(config, models):
        try:
            model = resolve_model(getattr(config, name).model, f"{name}.model")
            sections[name] = sections[name].model_copy(update={"model": model})
        except BadInput as mistake:
            mistakes.append(mistake)
    refuse_all(mistakes)
    return config.model_copy(update=sections)


def training_models(config: Config) -> tuple[str, ...]:
    """Return those of the sections policy, pivot and scorer whose models a training run loads."""
    roles = training_roles(config)
    return ("policy", *(role for role in ("pivot", "scorer") if role in roles))


def loaded_models(config: Config, models: Sequence[str]) -> tuple[str, ...]:
    """Return the sections of all models that a command loads: `models`, those of their reward, and a critic's own."""
    critic = ("critic",) if config.algorithm.name == "ppo" and config.critic.model is not None else ()
    return (*models, *_reward_models(config, models), *critic)


def _reward_models(config: Config, models: Sequence[str]) -> tuple[str, ...]:
    """Return the sections of the models that scorers load beside the encoder, if scorers are started."""
    if "scorer" not in models:
        return ()
    needed = {
        "comet": config.reward.needs_comet,
        "translator": needs_translator(config.reward, config.comet),
    }
    return tuple(name for name, is_needed in needed.items() if is_needed)


def _with_reward_paths(reward: RewardConfig) -> RewardConfig:
    reasoning = reward.reasoning
    if isinstance(reasoning, CalibratedReasoning):
        reasoning = reasoning.model_copy(
            update={
                "calibration": _word_or_path(reasoning.calibration, ("auto", "off")),
                "calibration_data": _word_or_path(reasoning.calibration_data, BUILTIN_SOURCES),
            }
        )
    custom = reward.custom.model_copy(update={"path": _path(reward.custom.path)})
    return reward.model_copy(update={"reasoning": reasoning, "custom": custom})


def _with_path(problems: Problems) -> Problems:
    """Return the section with an absolute path; the name of a dataset on the hub stays as it is."""
    if isinstance(problems, BuiltinSource | LogicSource):
        return problems
    if isinstance(problems, HubSource) and not absolute(problems.path).exists():
        return problems
    return problems.model_copy(update={"path": str(absolute(problems.path))})


def _word_or_path(value: str, words: Sequence[str]) -> str:
    """Return one of the words that a key knows as it is, and a path as an absolute path."""
    return value if value in words else str(absolute(value))


def _folder_or_name(model: str | None) -> str | None:
    """Return a local folder as an absolute path, and anything else (a name on the hub, or None) as it is."""
    return str(absolute(model)) if model is not None and absolute(model).is_dir() else model


def _path(path: str | None) -> str | None:
    return None if path is None else str(absolute(path))
