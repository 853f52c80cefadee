"""Write the model card of an exported policy: README.md, with the metadata that the Hugging Face hub reads.

The card holds facts of the run only. It says what was not measured, and it names no path of this machine.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import yaml
from huggingface_hub import ModelCardData, metadata_load

from contracts.config.data import (
    BuiltinData,
    BuiltinEvaluation,
    DataConfig,
    EvaluationConfig,
    HubData,
    HubEvaluation,
    LogicData,
    MgsmSource,
)
from contracts.config.learning import SftConfig
from contracts.config.reward import RewardWeights, needs_translator
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.model_names import is_path, name_and_revision
from contracts.paths import absolute
from driver.calibration import read_calibration
from driver.names import on_one_line
from driver.outcome.learning_signal import learning_signal
from driver.outcome.words import statements
from driver.problems.logic.prompt import asked_with
from driver.problems.wording import Wording
from driver.report.run_record import RunRecord, read_run
from driver.templates import render
from driver.tracking.run_folder import RunFolder
from driver.tracking.summary import thirds
from languages.facts import LANGUAGES
from rewards.calibration import Calibration
from rewards.models.licence import licence_note

CARD = "README.md"

_TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.jinja"
_RECIPES = {
    "grpo": "reinforcement learning (GRPO)",
    "ppo": "reinforcement learning (PPO)",
    "opd": "on-policy distillation",
    "sft": "imitation (SFT)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFacts:
    """Hold what is known of a run beside its config."""

    record: RunRecord
    problem_counts: Mapping[str, int]  # of data.source, by language
    calibration: Calibration | None  # of the reasoning component, as the run used it
    licence: Mapping[str, str]  # license, license_name, license_link of the base model's own card; none where unknown


def write_model_card(export: Path, config: Config, *, folder: RunFolder, problem_counts: Mapping[str, int]) -> None:
    """Write the card into the folder `export`, from the files of the run in `folder`.

    `config` has absolute paths; `problem_counts` is the number of problems that data.source has in each language.
    """
    facts = CardFacts(
        record=read_run(folder.path, sampled_at_each_end=1),
        problem_counts=problem_counts,
        calibration=_calibration_of(folder),
        licence=_licence_of(Path(config.policy.model)),
    )
    (export / CARD).write_text(model_card(config, facts), encoding="utf-8")


def model_card(config: Config, facts: CardFacts) -> str:
    """Return the whole card, in Markdown."""
    record, gates = facts.record, config.reward.gates.switches
    changes = record.changes[:1]  # on the first task
    rewards = [step.metrics["reward/mean"] for step in record.steps if "reward/mean" in step.metrics]
    signal = learning_signal([step.metrics for step in record.steps])
    first_language = LANGUAGES[config.data.languages[0]]
    card = render(
        _TEMPLATE,
        config=config,
        record=record,
        metadata=_metadata(config, facts.licence),
        recipe=_RECIPES[config.algorithm.name],
        has_reward=has_reward(config),
        problem_counts=facts.problem_counts,
        calibration=facts.calibration,
        components={
            name: field.description
            for name, field in RewardWeights.model_fields.items()
            if name != "custom" or config.reward.custom.path
        },
        gates_on=[name for name, is_on in gates.items() if is_on],
        gates_off=[name for name, is_on in gates.items() if not is_on],
        is_untrained=record.steps and not signal.has_learned,
        num_skipped=sum(step.metrics.get("learner/skipped_steps", 0.0) for step in record.steps),
        changes=changes[0] if changes else None,
        verdict=" ".join(found.text for task in changes for found in statements(task)),
        rewards=thirds(rewards) if len(rewards) >= 3 else None,
        first_language=first_language,
        user_content=_user_content(Wording.of(asked_with(config), first_language)),
        licence_notes=_licence_notes(config),
        shown=shown,
        plain=plain,
        in_code=in_code,
        hub_page=hub_page,
        template_arguments=[f"{name}={value!r}" for name, value in config.policy.chat_template_arguments.items()],
        is_local=is_local,
        source=_source,
    )
    return re.sub(r"\n{3,}", "\n\n", card)


def shown(model: str) -> str:
    """Return a name on the hub as it is, and of a local folder or file its own name, without the path to it."""
    return Path(model).name if is_local(model) else model


def in_code(name: str) -> str:
    """Return a name of the hub, or of a local folder or file, as a code span of Markdown, whatever is in it."""
    return _code(shown(name))


def _code(text: str) -> str:
    text = on_one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def plain(text: str) -> str:
    """Return a text that Markdown shows as it is: no HTML, no links, no code, on one line."""
    return html.escape(re.sub(r"([\\`*\[\]])", r"\\\1", on_one_line(text)), quote=False)


def hub_page(model: str) -> str:
    """Return the address of a model's page on the hub, at its commit if it is pinned to one."""
    name, revision = name_and_revision(model)
    return f"https://huggingface.co/{quote(name)}" + (f"/tree/{quote(revision)}" if revision else "")


def is_local(model: str) -> bool:
    """Return whether a model or a dataset is a folder of this machine and no name on the hub."""
    return is_path(model) or absolute(model).exists()


def has_reward(config: Config) -> bool:
    """Return whether the policy learned from a reward."""
    return config.algorithm.name not in ("sft", "opd")


def _metadata(config: Config, licence: Mapping[str, str]) -> str:
    """Return the metadata in YAML.

    A local base model is left out: the hub would take its folder's name for one of its own models.
    """
    data, model = config.data, config.policy.model
    datasets = [data.path] if isinstance(data, HubData) and not is_local(data.path) else None
    return ModelCardData(
        base_model=None if is_local(model) else name_and_revision(model)[0],
        language=list(data.languages),
        library_name="transformers",
        pipeline_tag="text-generation",
        license=licence.get("license"),
        license_name=licence.get("license_name"),
        license_link=licence.get("license_link"),
        tags=["pb-rlsvr", config.algorithm.name, "multilingual", "reasoning", "arxiv:2509.25543"],
        datasets=datasets,
    ).to_yaml()


def _calibration_of(folder: RunFolder) -> Calibration | None:
    try:
        return read_calibration(folder.calibration)
    except BadInput:
        return None  # there is none, or it was damaged since: the card says that the statistics are not available


def _licence_of(folder: Path) -> dict[str, str]:
    """Return what the hub shows of a licence, from a local base model's own card."""
    try:
        found = metadata_load(folder / CARD) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}  # there is no card, or it says nothing: the licence is then called unknown
    return {key: str(found[key]) for key in ("license", "license_name", "license_link") if found.get(key)}


def _source(data: DataConfig | EvaluationConfig) -> str:
    """Return where problems come from in words; a file by its name only."""
    match data:
        case BuiltinData() | BuiltinEvaluation():
            levels = ", ".join(str(level) for level in data.levels)
            return f"word problems that the training program generates (split {data.split}, level {levels})"
        case LogicData():
            levels = ", ".join(str(level) for level in data.levels)
            return f"problems of logic that the training program generates (split {data.split}, level {levels})"
        case MgsmSource():
            return "MGSM (Shi et al. 2022, arXiv 2210.03057)"
        case HubData() | HubEvaluation():
            return f"the dataset {in_code(data.path)}, split {_code(data.split)}"
        case _:
            return f"the file {in_code(data.path)}{'' if data.split == 'all' else f', split {data.split}'}"


def _user_content(wording: Wording) -> str:
    """Return a Python expression for a user's message about `question`."""
    return f"{wording.before_question!r} + question + {wording.after_question!r}"


def _licence_notes(config: Config) -> list[str]:
    """Return a line on the licence of the base model, and of each model that its training used."""
    is_rewarded = has_reward(config)
    models = {
        config.policy.model: True,
        config.pivot.model: not isinstance(config.algorithm, SftConfig) or config.algorithm.sft_target == "pivot",
        config.scorer.model: is_rewarded,
        config.comet.model: is_rewarded and config.reward.needs_comet,
        config.translator.model: is_rewarded and needs_translator(config.reward, config.comet),
    }
    return [licence_note(shown(model), Path(model)) for model, is_used in models.items() if is_used]
