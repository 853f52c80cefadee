"""The model card of an exported policy: README.md, with the metadata that the Hugging Face hub reads.

Owns what it says and in which order; the sections on reward and training are driver/export/model_card_method.py.
Only facts of the run: what was not measured is said to be so, and no path of this machine is written.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import metadata_load

from contracts.config.reward import needs_translator
from contracts.config.run import Config, DataConfig, EvaluationConfig
from contracts.errors import BadInput
from driver.calibration import read_calibration
from driver.evaluation.measure import EvaluationResult, LanguageResult, standard_error
from driver.export.model_card_method import (
    has_reward,
    is_local,
    markdown_table,
    reward_section,
    shown,
    training_section,
)
from driver.names import NOT_MEASURED, language_name, percent, signed_points
from driver.report.results import verdict
from driver.report.run_record import RunRecord, read_run
from driver.tracking.run_folder import RunFolder
from driver.tracking.summary import thirds
from languages.facts import LANGUAGES
from rewards.calibration import Calibration
from rewards.models.licence import licence_note

CARD = "README.md"

_CLEAR = 2.0  # standard errors, as in the report
_RECIPES = {"grpo": "reinforcement learning (GRPO)", "ppo": "reinforcement learning (PPO)", "sft": "imitation (SFT)"}
_IDEA = (
    "The idea is PB-RLSVR's ([arXiv 2509.25543](https://arxiv.org/abs/2509.25543)): a strong English pivot model "
    "answers the English form of every problem, and a multilingual policy is rewarded for saying the same in the "
    "language that it was asked in."
)
_METHOD = (
    f"{_IDEA} No answer key and no annotation in the target language enters the reward. Its formulas and every default "
    "here are those of the program that trained this model, not the paper's."
)
_BASELINE = f"{_IDEA} This model is a baseline for that: it imitates given responses and was not rewarded."
_ALL_LIMITS = (
    "Other languages than those named above were not trained, and are measured only where Results has them.",
    "It is no judge of facts or safety: neither was trained for or measured.",
)
_SFT_LIMITS = ("Targets are imitated as they are: the pivot's mistakes, and its language, are learned too.",)
_REWARD_LIMITS = (
    "The pivot's mistakes: a wrong reference pays for the same wrong answer.",
    "Whether the reasoning leads to the answer: the reward sees the topic and the numbers of a reasoning and checks no "
    "deduction. Right numbers in a wrong order, or in sentences that say nothing, can score well.",
    "Other right ways: a solution by other steps than the pivot's earned less, so the model may have become less "
    "varied.",
    "The edges of a language: transliterated English, or a close relative of the language, can pass the language gate.",
    "The reward is a stand-in: a rise of it is no proof of better reasoning. Accuracy on held-out problems is measured "
    "apart from it, under Results where it was.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFacts:
    """What is known of a run beside its config."""

    record: RunRecord
    problem_counts: Mapping[str, int]  # of data.source, by language
    calibration: Calibration | None  # of the reasoning part, as the run used it
    licence: Mapping[str, str]  # license, license_name, license_link of the base model's own card; none where unknown


def write_model_card(export: Path, config: Config, *, folder: RunFolder, problem_counts: Mapping[str, int]) -> None:
    """Put the card into an exported folder, from the files of the run in `folder`. `config` has absolute paths;
    `problem_counts` is how many problems of data.source each language has."""
    facts = CardFacts(
        record=read_run(folder.path, sampled_at_each_end=1),
        problem_counts=problem_counts,
        calibration=_calibration_of(folder),
        licence=_licence_of(Path(config.policy.model)),
    )
    (export / CARD).write_text(model_card(config, facts), encoding="utf-8")


def model_card(config: Config, facts: CardFacts) -> str:
    """The whole card, in Markdown."""
    base = shown(config.policy.model)
    languages = ", ".join(language_name(code) for code in config.data.languages)
    intro = (
        f"`{base}`, trained further by {_RECIPES[config.algorithm.name]} on {languages}. It is a whole model: no other "
        "weights are needed to load it."
    )
    where = "" if is_local(config.policy.model) else f" ([on the hub](https://huggingface.co/{config.policy.model}))"
    sections = {
        "What it is": [
            intro,
            f"Base model: `{base}`{where}. Pivot: `{shown(config.pivot.model)}`.",
            _METHOD if has_reward(config) else _BASELINE,
        ],
        "Data": _data(config, facts.problem_counts),
        "Reward": reward_section(config, facts.calibration),
        "Training": training_section(config, facts.record),
        "Results": _results(config, facts.record),
        "Limits": _limits(config),
        "How to use it": _use(config),
        "Licences": _licences(config),
    }
    title = config.export.hub_repo.split("/")[-1] or f"{base}, trained with PB-RLSVR"
    body = [f"# {title}", *(text for name, texts in sections.items() for text in (f"## {name}", *texts))]
    return f"---\n{_metadata(config, facts.licence)}---\n\n" + "\n\n".join(body) + "\n"


def _metadata(config: Config, licence: Mapping[str, str]) -> str:
    """A local base model stays out: the hub would take its folder's name for a model of its own of that name."""
    data, model = config.data, config.policy.model
    metadata: dict[str, object] = {
        **({} if is_local(model) else {"base_model": model}),
        "language": list(data.languages),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        **licence,
        "tags": ["pb-rlsvr", config.algorithm.name, "multilingual", "reasoning", "arxiv:2509.25543"],
    }
    if data.source == "huggingface" and not is_local(data.path):
        metadata["datasets"] = [data.path]
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _calibration_of(folder: RunFolder) -> Calibration | None:
    try:
        return read_calibration(folder.calibration)
    except BadInput:
        return None  # none, or damaged since: the card says that the statistics are not at hand


def _licence_of(folder: Path) -> dict[str, str]:
    """What the hub shows of a licence, from a local base model's own card."""
    try:
        found = metadata_load(folder / CARD) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}  # no card, or one that says nothing: Licences then says that it is unknown
    return {key: str(found[key]) for key in ("license", "license_name", "license_link") if found.get(key)}


def _data(config: Config, counts: Mapping[str, int]) -> list[str]:
    rows = [(language_name(code), str(counts.get(code, NOT_MEASURED))) for code in config.data.languages]
    drawn = config.algorithm.steps * config.algorithm.groups_per_step
    return [
        f"Problems to train on: {_source(config.data)}. Languages take turns; the whole run draws {drawn} problems.",
        markdown_table(("language", "problems"), rows),
    ]


def _source(data: DataConfig | EvaluationConfig) -> str:
    """A file by its name only: where it lay is nobody's business, and no one else's path."""
    match data.source:
        case "builtin":
            levels = ", ".join(str(level) for level in data.levels)
            return f"word problems that the training program generates (split {data.split}, level {levels})"
        case "mgsm":
            return "MGSM (Shi et al. 2022, arXiv 2210.03057)"
        case "huggingface":
            return f"the dataset `{shown(data.path)}`, split `{data.split}`"
        case _:
            return f"the file `{shown(data.path)}`"


def _results(config: Config, record: RunRecord) -> list[str]:
    first, last = thirds([step.metrics["reward/mean"] for step in record.steps if "reward/mean" in step.metrics])
    trend = f"Mean reward over the first third of the steps {first:.3f}, over the last third {last:.3f}."
    texts = [trend] if has_reward(config) and len(record.steps) >= 3 else []
    if not record.evaluations:
        return ["Accuracy was not measured in this run, neither before nor after training.", *texts]
    return [
        verdict(record),
        _results_table(record.evaluations),
        f"Measured on {_source(config.evaluation)}: one greedy response an item, of at most "
        f"{config.evaluation.max_response_tokens or config.policy.max_response_tokens} tokens. Accuracy: the final "
        "answer is the known one. In language: the response is in the language that was asked for. Changes are in "
        "points; one that is not beyond twice its standard error is marked as not clear, and may be chance.",
        *texts,
    ]


def _results_table(evaluations: Mapping[str, EvaluationResult]) -> str:
    moments = [_by_language(evaluations.get(moment)) for moment in ("before", "after")]
    rows = []
    for code in dict.fromkeys(code for found in moments for code in found):
        before, after = (found.get(code) for found in moments)
        items = dict.fromkeys(str(result.num_items) for result in (before, after) if result)
        accuracy = _three_cells(before, after, lambda result: result.accuracy)
        consistency = _three_cells(before, after, lambda result: result.language_consistency)
        rows.append((language_name(code), " / ".join(items), *accuracy, *consistency))
    head = ("language", "items", "accuracy before", "after", "change", "in language before", "after", "change")
    return markdown_table(head, rows)


def _by_language(result: EvaluationResult | None) -> dict[str, LanguageResult]:
    return {found.language: found for found in result.languages} if result else {}


def _three_cells(
    before: LanguageResult | None, after: LanguageResult | None, share: Callable[[LanguageResult], float]
) -> tuple[str, str, str]:
    was, now = (share(result) if result else None for result in (before, after))
    change = NOT_MEASURED
    if before and after and was is not None and now is not None:
        error = math.hypot(standard_error(was, before.num_items), standard_error(now, after.num_items))
        is_clear = abs(now - was) > _CLEAR * error or now == was
        change = signed_points(now - was) + ("" if is_clear else " (not clear)")
    return percent(was), percent(now), change


def _limits(config: Config) -> list[str]:
    limits = _REWARD_LIMITS if has_reward(config) else _SFT_LIMITS
    lead = "What the reward can't see, and what follows from it:" if has_reward(config) else "What to mind:"
    return [lead, "\n".join(f"- {limit}" for limit in (*limits, *_ALL_LIMITS))]


def _use(config: Config) -> list[str]:
    language = LANGUAGES[config.data.languages[0]]
    name = config.export.hub_repo or "path/to/this/folder"
    trust = ", trust_remote_code=True" if config.policy.trust_remote_code else ""
    system = [f'    {{"role": "system", "content": {config.prompt.system!r}}},'] if config.prompt.system else []
    space = "" if language.question_prefix.endswith("：") else " "
    parts = [repr(language.question_prefix + space), "question", repr("\n\n" + language.instruction)]
    asked = f'    {{"role": "user", "content": {" + ".join(parts)}}},'
    chat = ["question = ...  # a problem, as text", "messages = [", *system, asked, "]"]
    with_transformers = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}"{trust})',
        f'model = AutoModelForCausalLM.from_pretrained("{name}", dtype="auto"{trust})',
        "inputs = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
        ")",
        f"output = model.generate(**inputs, do_sample=False, max_new_tokens={config.policy.max_response_tokens})",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]
    with_vllm = [
        "from vllm import LLM, SamplingParams",
        "",
        f'llm = LLM("{name}", dtype="{config.learner.dtype}", max_model_len={config.policy.max_model_len}{trust})',
        f"sampling = SamplingParams(temperature=0, max_tokens={config.policy.max_response_tokens})",
        "print(llm.chat(messages, sampling)[0].outputs[0].text)",
    ]
    texts = [f"It was asked like this, in {language.name} (in each language in that language's own words):"]
    texts += [_code(chat), "With transformers:", _code(with_transformers), "With vLLM:", _code(with_vllm)]
    if config.prompt.num_exemplars:
        texts.append(
            f"In training and evaluation the question came after {config.prompt.num_exemplars} worked example(s) in "
            "its language, as turns of the chat; without them expect other results."
        )
    return texts


def _code(lines: Sequence[str]) -> str:
    return "\n".join(["```python", *lines, "```"])


def _licences(config: Config) -> list[str]:
    """Of the base model, and of the models that its training asked."""
    models = {
        config.policy.model: True,
        config.pivot.model: config.algorithm.name != "sft" or config.algorithm.sft_target == "pivot",
        config.scorer.model: has_reward(config),
        config.comet.model: has_reward(config) and config.reward.needs_comet,
        config.translator.model: has_reward(config) and needs_translator(config.reward, config.comet),
    }
    notes = [licence_note(shown(model), Path(model)) for model, is_used in models.items() if is_used]
    return ["\n".join(f"- {note}" for note in notes)]
