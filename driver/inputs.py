"""Check everything of a run that can be wrong before anything is started: data, tokenizers, prompts.

A mistake ends in one line and exit code 2, while no process has been started and no file written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.config.learning import SftConfig
from contracts.config.reward import (
    CalibratedReasoning,
    LikelihoodReasoning,
    ReasoningConfig,
    TranslationReasoning,
    needs_encoder,
    needs_translator,
)
from contracts.config.run import Config
from contracts.config.workers import PolicyConfig
from contracts.errors import BadInput, shown
from contracts.model_config import check_heads, check_trainable, read_model_config
from contracts.user_files import read_user_json
from driver.calibration import check_calibration
from driver.custom_reward import load_source
from driver.evaluation.inputs import EvaluationInputs, prepare_evaluation
from driver.evaluation.plan import EvaluationPlan
from driver.problems.curriculum import Curriculum
from driver.problems.engine_prompts import check_context, engine_prompter
from driver.problems.model_weights import check_weights, tensor_names
from driver.problems.prompts import Prompter, plain_tokenizer
from driver.problems.review import PromptCheck, shared_items, usable_problems
from driver.problems.sources import ProblemSource, open_source
from driver.problems.stream import ProblemStream, StreamState
from driver.references.cache import check_folder
from driver.references.fill import Items, distinct_items
from rewards.comet.feeding import check_feeding
from rewards.comet.settings import read_settings
from rewards.models.licence import licence_note


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """Hold what the driver needs beside the actors, checked."""

    evaluation: EvaluationInputs
    pivot_prompter: Prompter
    source: ProblemSource
    stream: ProblemStream  # the source in the run's order, at the draw where the run starts
    custom_source: str  # Python text of the user's own reward; empty without one
    notes: tuple[str, ...] = ()  # what a user should know of the problems


@dataclass(frozen=True, kw_only=True)
class ReferenceInputs:
    """Hold the items that need a reference, and the pivot's prompts."""

    prompter: Prompter
    items: Items
    notes: tuple[str, ...] = ()  # what a user should know of the problems


def prepare_training(config: Config, *, stream: StreamState | None = None) -> TrainingInputs:
    """Check and return data, tokenizers and prompts of a training run.

    Args:
        config: the config, with absolute paths.
        stream: where a continued run goes on; None for a new run.

    Raises:
        BadInput: the first mistake that is found.
    """
    languages = config.data.languages
    is_imitating = isinstance(config.algorithm, SftConfig)
    asks_pivot = not isinstance(config.algorithm, SftConfig) or config.algorithm.sft_target == "pivot"
    if config.evaluation.is_wanted:
        evaluation = prepare_evaluation(config)
    else:
        prompter, pad_token_id = engine_prompter(config, "policy")
        evaluation = EvaluationInputs(prompter=prompter, plan=EvaluationPlan(tasks=()), pad_token_id=pad_token_id)
    if asks_pivot and config.pivot.cache_folder is not None:
        check_folder(config.pivot.cache_folder)
    pivot_prompter = engine_prompter(config, "pivot")[0] if asks_pivot else evaluation.prompter  # of which none asks
    check_trainable(config.policy.model, key="policy.model")  # a hub's config.json is here since its tokenizer is
    check_model_heads(config)
    source = open_source(config.data, languages=languages, seed=config.run.seed, needs_english=asks_pivot)
    if not asks_pivot:
        _check_translations(source, languages)
    checks = [policy_prompts(evaluation.prompter), *([pivot_prompts(pivot_prompter)] if asks_pivot else [])]
    source = usable_problems(source, languages, checks=checks, on_bad_item=config.data.on_bad_item)
    check_adapters(config)
    if config.algorithm.name == "ppo" and config.critic.model:
        check_critic(config.critic.model, config.policy)
    problems = open_stream(config, source)
    if stream is not None:
        problems.restore(stream)
    return TrainingInputs(
        evaluation=evaluation,
        pivot_prompter=pivot_prompter,
        source=source,
        stream=problems,
        custom_source="" if is_imitating else prepare_reward(config, languages),
        notes=(*problem_notes(source), *shared_items(source, languages, evaluation.plan.questions)),
    )


def open_stream(config: Config, source: ProblemSource) -> ProblemStream:
    """Return a source's problems in the order in which a run draws them, at the first draw.

    Raises:
        BadInput: data.shares has not one number above 0 for each language.
    """
    data, seed = config.data, config.run.seed
    shares = () if data.shares == "equal" else data.shares
    curriculum = None
    if data.curriculum == "success_rate":
        low, high, keep = data.curriculum_low, data.curriculum_high, data.curriculum_keep
        curriculum = Curriculum(source.counts, seed=seed, low=low, high=high, keep=keep)
    return ProblemStream(source, languages=data.languages, seed=seed, shares=shares, curriculum=curriculum)


def prepare_references(config: Config) -> ReferenceInputs:
    """Check and return what filling the reference cache needs; the config has absolute paths.

    Raises:
        BadInput: the first mistake that is found.
    """
    if config.pivot.cache_folder is None:
        raise BadInput(
            'pivot.cache = "off" keeps references for one run only, so there is nothing to fill; name a folder',
            key="pivot.cache",
        )
    check_folder(config.pivot.cache_folder)
    prompter = engine_prompter(config, "pivot")[0]
    source = open_source(config.data, languages=config.data.languages, seed=config.run.seed)
    source = usable_problems(
        source, config.data.languages, checks=[pivot_prompts(prompter)], on_bad_item=config.data.on_bad_item
    )
    items = distinct_items(source, config.data.languages)
    return ReferenceInputs(prompter=prompter, items=items, notes=problem_notes(source))


def problem_notes(source: ProblemSource) -> tuple[str, ...]:
    """Return what a user should know of a source's problems, each line with its name."""
    return tuple(f"{source.name}: {note}" for note in source.notes)


def policy_prompts(prompter: Prompter) -> PromptCheck:
    """Return the check of the policy's prompts."""
    return PromptCheck(
        section="policy",
        text=lambda problem: problem.question,
        build=prompter.prompt_token_ids,
        room=prompter.room,
    )


def pivot_prompts(prompter: Prompter) -> PromptCheck:
    """Return the check of the pivot's prompts."""
    return PromptCheck(
        section="pivot",
        text=lambda problem: problem.question_en,
        build=lambda problem: prompter.reference_prompt(problem.question_en),
        room=prompter.room,
    )


def _check_translations(source: ProblemSource, languages: Sequence[str]) -> None:
    """Check that every problem has a translation to imitate.

    Raises:
        BadInput: one has none.
    """
    for language in languages:
        for position in range(source.counts[language]):
            problem = source.problem(language, position)
            if problem.translation is None:
                raise BadInput(
                    f"{source.where(language, position)}: {problem.group_key} has no translation to imitate (column "
                    '`translation`); give one, or set algorithm.sft_target to "pivot"',
                    key="translation",
                )


def check_adapters(config: Config) -> None:
    """Check the names of LoRA's target layers in a local model; a model on the hub is checked when it loads.

    Raises:
        BadInput: the model has no layer of that name.
    """
    lora, folder = config.learner.lora, Path(config.policy.model)
    if lora is None or lora.targets == "all" or not any(folder.glob("*.safetensors")):
        return
    layers = set()
    for file in folder.glob("*.safetensors"):
        layers |= {name.removesuffix(".weight") for name in tensor_names(file, key="policy.model")}
    for target in lora.targets:
        if not any(layer == target or layer.endswith(f".{target}") for layer in layers):
            known = ", ".join(sorted({layer.rpartition(".")[2] for layer in layers if layer.endswith("_proj")}))
            raise BadInput(
                f"learner.lora.targets: {config.policy.model} has no layer {target!r}"
                + (f"; it has {known}" if known else ""),
                key="learner.lora.targets",
            )


def check_model_heads(config: Config) -> None:
    """Check that the heads of the models that learn can be divided over the ranks that split a row.

    Raises:
        BadInput: they can't be divided.
    """
    models = {"policy.model": config.policy.model}
    if config.algorithm.name == "ppo" and config.critic.model:
        models["critic.model"] = config.critic.model
    for key, model in models.items():
        check_heads(read_model_config(model, key=key) or {}, model, num_ranks=config.learner.sequence_parallel_size)


def check_critic(critic: str, policy: PolicyConfig) -> None:
    """Check that a critic can read the policy's token ids, and a whole prompt and response.

    Raises:
        BadInput: the critic has another vocabulary, or its context is too short.
    """
    check_trainable(critic, key="critic.model")
    check_weights(critic, key="critic.model")
    check_context(critic, policy.max_model_len, section="critic", context="policy")
    known, other = (
        plain_tokenizer(model, trust_remote_code=policy.trust_remote_code, section=section).get_vocab()
        for section, model in (("policy", policy.model), ("critic", critic))
    )
    if known != other:
        raise BadInput(
            f"critic.model {critic!r} has another vocabulary ({len(other)} tokens) than policy.model "
            f"{policy.model!r} ({len(known)}): it can't read the policy's tokens; choose a model of the same "
            "tokenizer",
            key="critic.model",
        )


def check_encoder(config: Config) -> None:
    """Check the files of a local sentence encoder; a model on the hub is checked when it loads.

    Raises:
        BadInput: a weight file is damaged, or the encoder has code of its own that is not trusted.
    """
    model = config.scorer.model
    if not needs_encoder(config.reward) or not Path(model).is_dir():
        return
    check_weights(model, key="scorer.model")
    file = Path(model) / "modules.json"
    modules = read_user_json(file, key="scorer.model") if file.exists() else []
    kinds = [module.get("type") for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
    own = [kind for kind in kinds if not str(kind).startswith("sentence_transformers.")]
    if own and not config.scorer.trust_remote_code:
        raise BadInput(
            f"scorer.model = {model!r} has code of its own ({shown(own[0])}); set scorer.trust_remote_code=true if you "
            "trust it, or choose another encoder",
            key="scorer.trust_remote_code",
        )


def check_comet(config: Config) -> None:
    """Check a local COMET folder and whether its feeding fits; a model on the hub is checked when it loads.

    Raises:
        BadInput: the folder is no COMET checkpoint, or needs another comet.feeding.
    """
    folder = Path(config.comet.model)
    if not config.reward.needs_comet or not folder.is_dir():
        return
    try:
        settings = read_settings(folder / "hparams.yaml")
        check_feeding(config.comet.feeding, needs_reference=settings.needs_reference)
    except OSError as error:
        raise BadInput(
            f"comet.model = {config.comet.model!r} is not a COMET folder: {error}", key="comet.model"
        ) from None
    except ValueError as error:
        raise BadInput(f"comet.model = {config.comet.model!r}: {error}", key="comet.model") from None


def check_scorers_suffice(reasoning: ReasoningConfig) -> CalibratedReasoning:
    """Return how reasonings are compared, for a command that starts scorers only.

    Raises:
        BadInput: the method needs one of the run's engines.
    """
    if isinstance(reasoning, LikelihoodReasoning):
        raise BadInput(
            'this command starts scorers only, but reward.reasoning.method "likelihood" asks the policy; choose '
            "another method",
            key="reward.reasoning.method",
        )
    if isinstance(reasoning, TranslationReasoning) and reasoning.translator == "pivot":
        raise BadInput(
            'this command starts scorers only, but reward.reasoning.translator "pivot" asks the pivot; choose '
            '"seq2seq"',
            key="reward.reasoning.translator",
        )
    return reasoning


def licence_notes(config: Config) -> list[str]:
    """Return a line about the licence of each further model that the reward uses."""
    models = {
        config.comet.model: config.reward.needs_comet,
        config.translator.model: needs_translator(config.reward, config.comet),
    }
    return [licence_note(model, Path(model)) for model, is_needed in models.items() if is_needed]


def prepare_reward(config: Config, languages: Sequence[str]) -> str:
    """Check the reward's files, and return the text of the user's own reward; empty without one.

    Raises:
        BadInput: the file of the user's own reward, the calibration or its data has a mistake.
    """
    check_calibration(config.reward.reasoning, languages)
    check_encoder(config)
    check_comet(config)
    custom = config.reward.custom
    return load_source(custom.path, custom.function) if custom.path else ""
