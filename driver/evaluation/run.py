"""Evaluate a policy with the settings of a config: draw, judge, summarise, and keep every response."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from contracts.config.run import Config
from contracts.ports import Console
from driver.evaluation.answered import Journal
from driver.evaluation.drawing import MIN_IN_FLIGHT, Policy, Sampling, ThinkingBudget, draw
from driver.evaluation.editions import editions
from driver.evaluation.inputs import EvaluationInputs
from driver.evaluation.judging import JudgedRow, OtherMeters, judge, write_rows
from driver.evaluation.langdetect_meter import LangdetectMeter
from driver.evaluation.lingua_meter import LinguaMeter
from driver.evaluation.plan import EvaluationPlan
from driver.evaluation.results import EvaluationResult
from driver.evaluation.summarise import summarise_task, summarise_texts
from driver.language_names import has_file
from driver.problems.prompts import Prompter
from rewards.gates.identify import LanguageIdentifier


async def evaluate_policy(
    config: Config,
    inputs: EvaluationInputs,
    policy: Policy,
    console: Console,
    *,
    place: Path,
    trained: Sequence[str],
) -> EvaluationResult:
    """Measure the policy on the plan's items, and return the result of its first task with those of the others.

    Args:
        config: of the run.
        inputs: the plan, with the policy's prompts.
        policy: the engines.
        console: shows progress.
        place: path without ending: the journal is `<place>.jsonl`, and all responses are in `<place>.parquet`
            afterwards. Remove the journal once the result is recorded: until then it is what a killed evaluation
            goes on from.
        trained: languages that training saw; empty where that is not known.

    Raises:
        BadInput: the journal belongs to another evaluation.
        RunFailed: the engines failed.
    """
    plan = inputs.plan
    place.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(journal_of(place), digest=plan.digest)
    try:
        with console.phase("evaluating", total=plan.num_items) as done:
            await draw(policy, plan, journal, _sampling(config, inputs.prompter), on_progress=done)
    finally:
        journal.close()
    with console.phase("judging the responses", total=plan.num_items) as done:
        rows = await asyncio.to_thread(judge_all, plan, journal, on_progress=done)  # a run goes on meanwhile
        write_rows(place.with_name(f"{place.name}.parquet"), rows)
        return await asyncio.to_thread(summarise, plan, rows, trained)


def journal_of(place: Path) -> Path:
    """Return the path of an evaluation's journal."""
    return place.with_name(f"{place.name}.jsonl")


def judge_all(plan: EvaluationPlan, journal: Journal, *, on_progress: Callable[[int], None]) -> list[JudgedRow]:
    """Return the judged rows of all items, in the plan's order."""
    identifier = LanguageIdentifier([code for code in plan.languages if has_file(code)])
    others = OtherMeters(lingua=LinguaMeter(), langdetect=LangdetectMeter())
    rows: list[JudgedRow] = []
    for number, item in enumerate((item for task in plan.tasks for item in task.items), start=1):
        rows += judge(item, journal.answered[item.key], identifier.is_in, others)
        on_progress(number)
    return rows


def summarise(plan: EvaluationPlan, rows: Sequence[JudgedRow], trained: Sequence[str]) -> EvaluationResult:
    """Return the numbers of the first task, with those of the others in `more`."""
    by_task = {task.name: [row for row in rows if row.task == task.name] for task in plan.tasks}
    results = []
    for task in plan.tasks:
        if task.is_text:
            results.append(summarise_texts(by_task[task.name], measured_on=task.measured_on))
            continue
        result = summarise_task(
            by_task[task.name],
            trained=trained,
            weights=task.level_weights,
            measured_on=task.measured_on,
        )
        original = by_task.get(task.original, [])
        results.append(replace(result, editions=editions(original, by_task[task.name])))
    return replace(results[0], more=tuple(results[1:]))


def _sampling(config: Config, prompter: Prompter) -> Sampling:
    evaluation, policy = config.evaluation, config.policy
    at_once = MIN_IN_FLIGHT if policy.max_num_seqs == "auto" else policy.max_num_seqs
    engines_hold = 2 * at_once * policy.most_workers // evaluation.samples
    budget = None
    if evaluation.thinking_tokens != "free":
        budget = ThinkingBudget(
            max_tokens=evaluation.thinking_tokens,
            closing=lambda tokens: prompter.closing_of_thinking(tokens, policy.thinking_markers),
        )
    return Sampling(
        max_tokens=config.evaluation_max_tokens,
        samples=evaluation.samples,
        temperature=evaluation.temperature,
        seed=config.run.seed,
        budget=budget,
        max_in_flight=max(MIN_IN_FLIGHT // evaluation.samples, engines_hold, 1),
    )
