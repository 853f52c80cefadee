"""Audit a reward on the outputs that models wrote: score all of them and count by source and language."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from contracts.files import write_whole
from contracts.ports import Scorer
from contracts.rollouts import Score, Unscored
from driver.audit.measure import OnProgress, Requests
from driver.audit.outputs.read import Output, requests_of
from driver.audit.outputs.result import ALL_SOURCES, OutputAudit, OutputCell, OutputExample, RankCell
from driver.audit.tally import LANGUAGE_GATE, verdicts
from rewards.answers.final import same_answer
from rewards.compose import PARTS, Combination

NUM_EXAMPLES = 2
"""Examples that are kept of each kind of mistake, for each source and language."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Hold one output with its score."""

    output: Output
    score: Score | Unscored
    answer: str | None  # that the output declares

    @property
    def shut(self) -> tuple[str, ...]:
        """Return the gates that shut; those that are switched off are measured too. Empty for an unscored output."""
        if isinstance(self.score, Unscored):
            return ()
        return tuple(gate for gate, is_open in verdicts(self.score).items() if not is_open)

    @property
    def is_extracted(self) -> bool:
        """Return whether the declared answer is gold."""
        gold = self.output.gold
        return self.answer is not None and gold is not None and same_answer(self.answer, gold)

    @property
    def is_paid(self) -> bool:
        """Return whether the answer counts as the pivot's and no gate shuts."""
        return isinstance(self.score, Score) and self.score.parts["answer"] > 0.5 and not self.shut


async def judge_outputs(
    scorer: Scorer, outputs: Sequence[Output], *, on_progress: OnProgress = lambda num_done: None
) -> list[Judged]:
    """Score all outputs, and return them in the order of the requests that they were scored in.

    Args:
        scorer: scores the requests.
        outputs: what is scored.
        on_progress: gets the number of requests that are done.
    """
    groups = requests_of(outputs)
    scores = await Requests(scorer, on_progress).score(request for _, request in groups)
    return [
        Judged(output=output, score=score, answer=output.answer)
        for (group, _), found in zip(groups, scores, strict=True)
        for output, score in zip(group, found, strict=True)
    ]


def count_outputs(judged: Sequence[Judged], *, combination: Combination, measured_on: Mapping[str, str]) -> OutputAudit:
    """Return the audit of scored outputs.

    Args:
        judged: the outputs with their scores; at least one.
        combination: how the reward's parts are combined, to leave the part answer out.
        measured_on: the settings that are written into the result.
    """
    cells = _by_cell(judged)
    return OutputAudit(
        cells=tuple(output_cell(source, language, found) for (source, language), found in cells.items()),
        ranks=tuple(rank_cells(judged, combination)),
        examples=tuple(example for found in cells.values() for example in examples_of(found)),
        gates=tuple(dict.fromkeys(gate for one in judged for gate in _gates(one))),
        measured_on=dict(measured_on),
    )


def write_scores(path: Path, judged: Iterable[Judged]) -> None:
    """Write one JSON line for each output: what it is, and what it got."""
    write_whole(path, "".join(json.dumps(_line(one), ensure_ascii=False) + "\n" for one in judged))


def _line(one: Judged) -> dict[str, object]:
    output, score = one.output, one.score
    known: dict[str, object] = {
        "source": output.source,
        "language": output.language,
        "task": "/".join(output.task),
        "is_right": output.right,
        "in_language": output.in_language,
        "answer": one.answer,
    }
    if isinstance(score, Unscored):
        return {**known, "unscored": score.reason}
    return {**known, "reward": score.reward, "parts": dict(score.parts), "shut": one.shut}


def _by_cell(judged: Sequence[Judged]) -> dict[tuple[str, str], list[Judged]]:
    """Return the outputs by source and language: sources in the order in which they come, languages by code."""
    sources = list(dict.fromkeys(one.output.source for one in judged))
    cells: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        cells.setdefault((one.output.source, one.output.language), []).append(one)
    return dict(sorted(cells.items(), key=lambda cell: (sources.index(cell[0][0]), cell[0][1])))


def _gates(one: Judged) -> tuple[str, ...]:
    return tuple(verdicts(one.score)) if isinstance(one.score, Score) else ()


def output_cell(source: str, language: str, judged: Sequence[Judged]) -> OutputCell:
    """Return the counts of one source in one language."""
    scored = [one for one in judged if isinstance(one.score, Score)]
    faithful = [one for one in scored if one.output.is_faithful]
    elsewhere = [one for one in scored if one.output.in_language == "other"]
    wrong = [one for one in scored if one.output.right is False]
    with_gold = [one for one in judged if one.output.is_faithful and one.output.gold is not None]
    rewards = [one.score.reward for one in judged if isinstance(one.score, Score)]
    return OutputCell(
        source=source,
        language=language,
        num_outputs=len(judged),
        unscored=dict(Counter(one.score.reason for one in judged if isinstance(one.score, Unscored))),
        mean_reward=fmean(rewards) if rewards else None,
        num_undeclared=sum(one.answer is None for one in judged),
        shut=_shut(scored),
        num_shut=sum(bool(one.shut) for one in scored),
        num_with_gold=len(with_gold),
        num_extracted=sum(one.is_extracted for one in with_gold),
        num_faithful=len(faithful),
        rejected=_shut(faithful),
        num_rejected=sum(bool(one.shut) for one in faithful),
        num_elsewhere=len(elsewhere),
        num_accepted=sum(LANGUAGE_GATE not in one.shut for one in elsewhere),
        num_wrong=len(wrong),
        num_wrong_paid=sum(one.is_paid for one in wrong),
    )


def _shut(judged: Iterable[Judged]) -> dict[str, int]:
    return dict(Counter(gate for one in judged for gate in one.shut))


def examples_of(judged: Iterable[Judged]) -> list[OutputExample]:
    """Return the first few outputs of one source and language for each kind of mistake."""
    kept: dict[str, list[Judged]] = {}
    for one in judged:
        for mistake in _mistakes(one):
            found = kept.setdefault(mistake, [])
            if len(found) < NUM_EXAMPLES:
                found.append(one)
    return [_example(one, mistake) for mistake, found in kept.items() for one in found]


def _mistakes(one: Judged) -> list[str]:
    """Return what is wrong with the verdict on an output; without a label, which gates shut it."""
    output = one.output
    found: list[str] = []
    if output.right is None and output.may_be_in_language:
        found += [f"shut by {gate}, not labelled" for gate in one.shut]
    if output.is_faithful:
        found += [f"rejected by {gate}" for gate in one.shut]
        if output.gold is not None and not one.is_extracted:
            found.append("answer not extracted")
    if output.in_language == "other" and isinstance(one.score, Score) and LANGUAGE_GATE not in one.shut:
        found.append("another language accepted")
    if output.right is False and one.is_paid:
        found.append("wrong answer paid")
    return found


def _example(one: Judged, mistake: str) -> OutputExample:
    output = one.output
    return OutputExample(
        source=output.source,
        language=output.language,
        item="/".join(part for part in (output.benchmark, output.item) if part),
        mistake=mistake,
        response=output.response,
        answer=one.answer,
        gold=output.gold,
    )


def rank_cells(judged: Sequence[Judged], combination: Combination) -> list[RankCell]:
    """Return how well each measure ranks right outputs over wrong ones to the same question.

    All pairs of a right and a wrong output to one question count alike (the area under the ROC curve within an item).
    Outputs in another language are left out: the reward is right to rank them low, however right they are.
    """
    labelled = [
        one
        for one in judged
        if isinstance(one.score, Score) and one.output.right is not None and one.output.may_be_in_language
    ]
    measures = _measures(labelled, combination)
    sources = dict.fromkeys(one.output.source for one in judged)
    cells: list[RankCell] = []
    for language in sorted({one.output.language for one in labelled}):
        for source in (*sources, ALL_SOURCES) if len(sources) > 1 else (ALL_SOURCES,):
            chosen = [
                one
                for one in labelled
                if one.output.language == language and source in (one.output.source, ALL_SOURCES)
            ]
            for kind, found in (("all", chosen), ("open", [one for one in chosen if not one.shut])):
                for measure, value in measures.items():
                    won, num_pairs = _pairs_won(found, value)
                    if num_pairs:
                        cells.append(
                            RankCell(
                                language=language,
                                source=source,
                                outputs=kind,
                                measure=measure,
                                num_pairs=num_pairs,
                                auc=won / num_pairs,
                            )
                        )
    return cells


def _measures(labelled: Sequence[Judged], combination: Combination) -> dict[str, Callable[[Score], float]]:
    """Return the reward, each part that all scores have, and the reward less what the part answer adds."""
    weights = {part: weight for part, weight in combination.weights(0).items() if weight and part != "answer"}
    scores = [one.score for one in labelled if isinstance(one.score, Score)]
    parts = [part for part in PARTS if scores and all(part in score.parts for score in scores)]
    measures: dict[str, Callable[[Score], float]] = {"reward": lambda score: score.reward}
    measures |= {part: lambda score, part=part: score.parts[part] for part in parts}
    measures["without answer"] = lambda score: sum(
        weight * score.parts.get(part, 0.0) for part, weight in weights.items()
    )
    return measures


def _pairs_won(judged: Iterable[Judged], value: Callable[[Score], float]) -> tuple[float, int]:
    """Return in how many pairs the right output has more, equal ones counted half, and the number of pairs."""
    tasks: dict[tuple[str, ...], tuple[list[float], list[float]]] = {}
    for one in judged:
        if isinstance(one.score, Score):
            right, wrong = tasks.setdefault(one.output.task, ([], []))
            (right if one.output.right else wrong).append(value(one.score))
    won = sum((a > b) + (a == b) / 2 for right, wrong in tasks.values() for a in right for b in wrong)
    return won, sum(len(right) * len(wrong) for right, wrong in tasks.values())
