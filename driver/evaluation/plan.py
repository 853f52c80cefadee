"""Plan an evaluation: which items, with which prompts, and what makes two results comparable. Nothing is started."""

import hashlib
import json
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol, cast

from contracts.config.data import BuiltinEvaluation, EvaluationConfig, MgsmEvaluation
from contracts.config.run import Config
from contracts.errors import BadInput, shown
from contracts.rollouts import Problem
from driver.evaluation.asking.prompts import ChatPrompts, ChoicePrompts, Tokens
from driver.evaluation.asking.wording import ItemWording
from driver.evaluation.sets.chosen import choose_tasks
from driver.evaluation.sets.item import Item
from driver.evaluation.sets.read import SetRequest, TaskSet, languages_there, read_set
from driver.evaluation.tasks.registry import ChosenTask, known_tasks
from driver.language_names import has_file, language_title
from driver.problems.gold import gold_number
from driver.problems.prompts import Prompter, PromptTooLong, plain_tokenizer
from driver.problems.review import TooLong
from driver.problems.sources import open_source, placed_problems
from rewards.reading import PIVOT_LANGUAGE

MAX_CLOSING = 16
"""Tokens that are kept for what closes the thinking."""


class ResponsePrompts(Protocol):
    """Make the prompt of an item whose answer is generated."""

    def prompt(self, item: Item) -> Tokens:
        """Return the prompt [T]; raises BadInput where it leaves no room for a response."""
        ...


@dataclass(frozen=True, kw_only=True)
class SourcePrompts:
    """Ask the items of a plain source exactly as problems are asked in training."""

    prompter: Prompter
    max_prompt_tokens: int

    def prompt(self, item: Item) -> Tokens:
        """Return the prompt [T] of an item.

        Raises:
            BadInput: the prompt leaves no room for a response.
        """
        problem = Problem(
            item_id=item.item_id, language=item.language, question=item.question, question_en=item.question
        )
        token_ids = self.prompter.prompt_token_ids(problem)
        if len(token_ids) > self.max_prompt_tokens:
            raise PromptTooLong(
                f"item {item.item_id} in {item.language!r}: the prompt has {len(token_ids)} tokens, and "
                f"policy.max_model_len less evaluation.max_response_tokens leaves {self.max_prompt_tokens}; raise the "
                "first, or lower the second",
                key="policy.max_model_len",
                num_tokens=len(token_ids),
                room=self.max_prompt_tokens,
            )
        return token_ids


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """Hold one task of a plan."""

    name: str
    items: tuple[Item, ...]
    prompts: ResponsePrompts | ChoicePrompts
    level_weights: Mapping[str, float]
    is_text: bool = False  # items are plain texts, and their perplexity is measured
    original: str = ""  # name of the task of which this is a corrected edition
    measured_on: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """Hold all that an evaluation asks for."""

    tasks: tuple[PlannedTask, ...]
    notes: tuple[str, ...] = ()  # what a user should know, such as languages without a language file

    @property
    def num_items(self) -> int:
        """Return the items of all tasks."""
        return sum(len(task.items) for task in self.tasks)

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the languages of all items, in order."""
        return tuple(dict.fromkeys(item.language for task in self.tasks for item in task.items))

    @property
    def questions(self) -> Iterator[tuple[str, str, str]]:
        """Yield the name of each item, its language and its question."""
        return ((item.item_id, item.language, item.question) for task in self.tasks for item in task.items)

    @property
    def digest(self) -> str:
        """Return a digest of the items and of how they are asked: a journal belongs to one."""
        found = hashlib.blake2b(digest_size=16)
        for task in self.tasks:
            found.update(json.dumps(dict(task.measured_on), sort_keys=True).encode())
            for item in task.items:
                found.update(f"{item.key}\x1f{item.question}\x1f{item.options}\x1f{item.gold}\x1e".encode())
        return found.hexdigest()


def plan_evaluation(config: Config, prompter: Prompter) -> EvaluationPlan:
    """Read the items and check every prompt; the config has absolute paths.

    Raises:
        BadInput: the first thing that is wrong.
    """
    if not config.evaluation.tasks:
        planned, notes = _plan_source(config, prompter)
        return EvaluationPlan(tasks=(planned,), notes=notes)
    chosen = choose_tasks(config.evaluation.tasks)
    _check_languages(config.evaluation, chosen)
    _check_paths(config.evaluation, chosen)
    sets = [read_set(task, _request(config, task)) for task in chosen]
    planned = tuple(_plan_set(config, prompter, found) for found in sets)
    return EvaluationPlan(tasks=planned, notes=tuple(_notes(planned, shots=config.evaluation.shots)))


def _plan_source(config: Config, prompter: Prompter) -> tuple[PlannedTask, tuple[str, ...]]:
    """Plan the problems of `evaluation.source`, whose answers are numbers; also return what a user should know of it.

    Raises:
        BadInput: a problem has no number as its answer.
    """
    evaluation = config.evaluation
    source = open_source(evaluation, languages=config.evaluation_languages, seed=config.run.seed, needs_english=False)
    prompts = SourcePrompts(prompter=prompter, max_prompt_tokens=_room_for_prompts(config))
    items, asked = [], _PromptsDigest()
    too_long = TooLong("policy.max_model_len", "evaluation.max_response_tokens")
    for where, problem in placed_problems(source, config.evaluation_languages, num_items=evaluation.num_items):
        if (gold := gold_number(problem)) is None:
            raise BadInput(
                f"{where()}: item {problem.item_id!r} can't be evaluated: its answer is {problem.answer!r}, and it "
                'must be a number; give one, leave such items out with evaluation.on_bad_item = "skip", or switch '
                "evaluation.before and evaluation.after off",
                key="answer",
            )
        item = Item(
            task=evaluation.source,
            item_id=problem.item_id,
            language=problem.language,
            question=problem.question,
            gold=gold,
        )
        items.append(item)
        try:
            asked.add(prompts.prompt(item))
        except PromptTooLong as mistake:
            too_long.add(mistake, where())
    if too_long.count:
        raise BadInput(
            f"{source.name}: {too_long.describe(len(items))}; raise policy.max_model_len, lower "
            "evaluation.max_response_tokens, or leave such items out of the set",
            key="policy.max_model_len",
        )
    measured_on = {
        "task": evaluation.source,
        "path": "" if isinstance(evaluation, BuiltinEvaluation) else evaluation.path,
        "split": "" if isinstance(evaluation, MgsmEvaluation) else evaluation.split,
        "num_items": str(evaluation.num_items),
        "shots": str(config.prompt.num_exemplars),
        "prompts": asked.text,
        **_drawn_on(config),
    }
    planned = PlannedTask(
        name=evaluation.source, items=tuple(items), prompts=prompts, level_weights={}, measured_on=measured_on
    )
    return planned, tuple(f"{source.name}: {note}" for note in source.notes)


def _drawn_on(config: Config) -> dict[str, str]:
    """Return how responses are drawn, as results are compared by it."""
    evaluation = config.evaluation
    return {
        "model": config.policy.model,
        "samples": str(evaluation.samples),
        "temperature": f"{evaluation.temperature:g}",
        "max_response_tokens": str(config.evaluation_max_tokens),
        "thinking_tokens": str(evaluation.thinking_tokens),
        "closing": config.prompt.closing,
        "thinking_markers": " ".join(marker for pair in config.policy.thinking_markers for marker in pair),
    }


class _PromptsDigest:
    """Digest the token ids of prompts: it differs where any prompt does.

    So it tells whether two evaluations asked in the same words: instructions, worked examples, the way to close, the
    chat template and its arguments.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, *prompts: Tokens) -> None:
        for token_ids in prompts:
            self._digest.update(array("q", [len(token_ids), *token_ids]).tobytes())

    @property
    def text(self) -> str:
        """Return 16 digits of the SHA-256."""
        return self._digest.hexdigest()[:16]


def _check_languages(evaluation: EvaluationConfig, tasks: Sequence[ChosenTask]) -> None:
    """Check that every language that is asked for is in a task.

    Raises:
        BadInput: one is in none of them.
    """
    if evaluation.languages in ("auto", "all"):
        return
    known = {code for chosen in tasks for code in chosen.task.languages}
    if missing := [code for code in evaluation.languages if code not in known]:
        names, titles = ", ".join(chosen.name for chosen in tasks), {language_title(c).lower(): c for c in known}
        wanted = missing[0].lower()
        near = wanted if wanted in known else titles.get(wanted)
        hint = f"did you mean {near!r}? " if near else ""
        raise BadInput(
            f"evaluation.languages: {names} has no {', '.join(map(shown, missing))}; {hint}known are "
            f"{', '.join(sorted(known))}",
            key="evaluation.languages",
        )


def _check_paths(evaluation: EvaluationConfig, tasks: Sequence[ChosenTask]) -> None:
    """Check that every folder is that of a task.

    Raises:
        BadInput: no task has this name.
    """
    names = dict.fromkeys((*(chosen.task.name for chosen in tasks), *known_tasks()))
    for name in evaluation.paths:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; tasks are {', '.join(names)}"
            raise BadInput(
                f"evaluation.paths names a folder of {name!r}, which is no task{hint}", key="evaluation.paths"
            )


def _request(config: Config, chosen: ChosenTask) -> SetRequest:
    """Return which part of a task's set is wanted.

    Raises:
        BadInput: the task has none of the languages, or its folder does not exist.
    """
    evaluation = config.evaluation
    folder = _folder(evaluation, chosen)
    languages = _languages(config, chosen, folder)
    if not languages:
        raise BadInput(
            f"task {chosen.name} has none of the languages asked for; it has {', '.join(chosen.task.languages)}",
            key="evaluation.languages",
        )
    return SetRequest(
        languages=languages,
        max_items=None if evaluation.max_items == "all" else evaluation.max_items,
        folder=folder,
        seed=config.run.seed,
        shots=evaluation.shots,
    )


def _languages(config: Config, chosen: ChosenTask, folder: Path | None) -> Sequence[str]:
    wanted = config.evaluation.languages
    if wanted == "all":
        return languages_there(chosen.task, folder)
    if wanted == "auto":
        there = languages_there(chosen.task, folder)
        return [code for code in dict.fromkeys((PIVOT_LANGUAGE, *config.data.languages)) if code in there]
    return [code for code in wanted if code in chosen.task.languages]


def _folder(evaluation: EvaluationConfig, chosen: ChosenTask) -> Path | None:
    """Return the folder or file of a task's set; None: the hub.

    Raises:
        BadInput: the data folder has none for the task.
    """
    task = chosen.task
    if chosen.file is not None or task.data.builtin:
        return chosen.file
    if task.name in evaluation.paths:
        return Path(evaluation.paths[task.name])
    if evaluation.data_folder is None:
        return None
    candidates = [Path(evaluation.data_folder) / name for name in (task.name, task.name.replace("-", "_"))]
    if (found := next((folder for folder in candidates if folder.is_dir()), None)) is None:
        raise BadInput(
            f"task {task.name}: {evaluation.data_folder} has no folder {task.name}; name it by "
            f"--data {task.name}=FOLDER, or evaluation.paths",
            key="evaluation.data_folder",
        )
    return found


def _plan_set(config: Config, prompter: Prompter, found: TaskSet) -> PlannedTask:
    """Plan the items of a task, and check their prompts.

    Raises:
        BadInput: a prompt leaves no room for a response.
    """
    task, evaluation, asked = found.chosen.task, config.evaluation, _PromptsDigest()
    prompts: ChatPrompts | ChoicePrompts
    if found.chosen.method != "generate":
        policy = config.policy
        tokenizer = plain_tokenizer(policy.model, trust_remote_code=policy.trust_remote_code, section="policy")
        prompts = ChoicePrompts(tokenizer=tokenizer, max_model_len=policy.max_model_len)
        for item in found.items:
            for choice in item.choices:
                asked.add(*prompts.pair(item, choice))
    else:
        prompts = ChatPrompts(
            template=prompter.template,
            wording=ItemWording(task=task, prompt=config.prompt),
            worked=found.worked,
            num_shots=evaluation.shots,
            max_prompt_tokens=_room_for_prompts(config),
            when_too_long=evaluation.shots_too_long,
        )
        for item in found.items:
            asked.add(prompts.prompt(item))
    measured_on = {
        "task": found.chosen.name,
        "num_items": str(evaluation.max_items),
        "shots": str(evaluation.shots if found.chosen.method == "generate" else 0),
        "skill": task.skill,
        "levels": json.dumps(dict(task.levels)),
        "prompts": asked.text,
        **_drawn_on(config),
    }
    return PlannedTask(
        name=found.chosen.name,
        items=found.items,
        prompts=prompts,
        level_weights=task.levels,
        is_text=found.chosen.method == "perplexity",
        original=task.original,
        measured_on=measured_on,
    )


def _room_for_prompts(config: Config) -> int:
    """Return the longest prompt, in tokens: a response has to fit behind it, and thinking that has its own budget.

    Raises:
        BadInput: there is no room for any prompt.
    """
    budget, longest = config.evaluation.thinking_tokens, config.policy.max_model_len
    thinking = 0 if budget == "free" else budget + MAX_CLOSING
    room = longest - config.evaluation_max_tokens - thinking
    if room <= 0:
        what = f" and evaluation.thinking_tokens {budget}" if thinking else ""
        raise BadInput(
            f"policy.max_model_len is {longest}: evaluation.max_response_tokens {config.evaluation_max_tokens}{what} "
            "leave no room for a prompt; raise the first, or lower the others",
            key="policy.max_model_len",
        )
    return room


def _notes(tasks: Collection[PlannedTask], *, shots: int) -> Iterator[str]:
    """Yield what a user should know about the plan."""
    for task in tasks:
        if shots and isinstance(task.prompts, ChoicePrompts):
            yield f"{task.name}: scored without worked examples; evaluation.shots counts where answers are generated"
        unknown = dict.fromkeys(item.language for item in task.items if not has_file(item.language))
        if unknown and isinstance(task.prompts, ChatPrompts):
            names = ", ".join(map(language_title, unknown))
            yield (
                f"{task.name}: no language file for {names}: asked with English instructions that name the language, "
                "and language consistency is not measured"
            )
        fewer = cast("ChatPrompts", task.prompts).fewer if isinstance(task.prompts, ChatPrompts) else {}
        if fewer:
            yield (
                f"{task.name}: {len(fewer)} items get fewer worked examples than asked for, the least "
                f"{min(fewer.values())}: more don't fit into policy.max_model_len"
            )
