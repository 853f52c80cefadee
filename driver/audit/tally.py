"""From scores to the numbers of an audit: wins, rejections, means, spreads, rank correlations, worst cases.

Owns what each number counts. Pure: knows groups and their scores, not where the scores came from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

import numpy as np
from numpy.typing import NDArray

from contracts.rollouts import Score, Unscored
from driver.audit.groups import FAITHFUL, CheatGroup
from driver.audit.result import QUESTIONS, SOLUTIONS, Case, CheatCell, GateCell, LanguageCell, Response
from rewards.compose import PARTS

LANGUAGE_GATE = "language"

Scores = tuple[Score | Unscored, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredCheats:
    group: CheatGroup
    scores: Scores

    @property
    def faithful(self) -> Score | Unscored:
        return self.scores[self.group.names.index(FAITHFUL)]

    def cheat(self, name: str) -> Score | Unscored | None:
        """None where it was left out."""
        names = self.group.names
        return self.scores[names.index(name)] if name in names else None

    def text(self, name: str) -> str:
        return self.group.request.responses[self.group.names.index(name)]


def verdicts(score: Score) -> dict[str, bool]:
    """Every gate's verdict by name. One that is switched off is recorded as a part of its name, 0 or 1."""
    off = {name: value > 0.5 for name, value in score.parts.items() if name not in PARTS}
    return {**off, **score.gates}


def _pairs(scored: Sequence[ScoredCheats], name: str) -> list[tuple[ScoredCheats, Score, Score]]:
    """(group, faithful score, cheat's score) where both are there."""
    return [
        (group, faithful, cheat)
        for group in scored
        if isinstance(faithful := group.faithful, Score) and isinstance(cheat := group.cheat(name), Score)
    ]


def cheat_cell(language: str, name: str, scored: Sequence[ScoredCheats]) -> CheatCell:
    pairs = _pairs(scored, name)
    num_left_out = sum(group.cheat(name) is None for group in scored)
    cheats = [cheat for _, _, cheat in pairs]
    shut = [[gate for gate, is_open in score.gates.items() if not is_open] for score in cheats]
    return CheatCell(
        language=language,
        cheat=name,
        num_groups=len(pairs),
        num_won=sum(faithful.reward > cheat.reward for _, faithful, cheat in pairs),
        num_left_out=num_left_out,
        num_unscored=len(scored) - num_left_out - len(pairs),
        mean_reward=fmean(score.reward for score in cheats) if cheats else None,
        mean_parts=_means([score.parts for score in cheats]),
        shut_by={
            gate: sum(gate in found for found in shut) / len(cheats)
            for gate in sorted({gate for found in shut for gate in found})
        },
    )


def gate_cells(language: str, scored: Sequence[ScoredCheats], questions: Sequence[Scores]) -> list[GateCell]:
    """All gates on the solutions, the language gate on the questions."""
    faithful = [verdicts(group.faithful) for group in scored if isinstance(group.faithful, Score)]
    asked = [verdicts(score) for (score,) in questions if isinstance(score, Score)]
    cells = [
        GateCell(
            language=language,
            gate=gate,
            texts=SOLUTIONS,
            num_texts=len(faithful),
            num_rejected=sum(not found[gate] for found in faithful),
        )
        for gate in (faithful[0] if faithful else ())
    ]
    judged = [found[LANGUAGE_GATE] for found in asked if LANGUAGE_GATE in found]
    if judged:
        cells.append(
            GateCell(
                language=language,
                gate=LANGUAGE_GATE,
                texts=QUESTIONS,
                num_texts=len(judged),
                num_rejected=judged.count(False),
            )
        )
    return cells


def language_cell(
    language: str, scored: Sequence[ScoredCheats], corrupted: Sequence[Scores], *, seconds: float
) -> LanguageCell:
    faithful = [group.faithful for group in scored if isinstance(group.faithful, Score)]
    rewards = [score.reward for score in faithful]
    spreads = [
        pstdev(found) for group in scored if len(found := [s.reward for s in group.scores if isinstance(s, Score)]) > 1
    ]
    series = [found for scores in corrupted if len(found := [s for s in scores if isinstance(s, Score)]) == len(scores)]
    return LanguageCell(
        language=language,
        num_items=len(scored),
        num_unscored=len(scored) - len(faithful),
        mean_reward=fmean(rewards) if rewards else None,
        std_reward=pstdev(rewards) if rewards else None,
        mean_parts=_means([score.parts for score in faithful]),
        std_parts={name: pstdev(score.parts[name] for score in faithful) for name in _common_parts(faithful)},
        group_spread=fmean(spreads) if spreads else None,
        rank_correlation=_rank_correlations(series),
        num_series=len(series),
        ms_per_sample=1000 * seconds / max(1, sum(len(group.scores) for group in scored)),
    )


def _means(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = set.intersection(*(set(found) for found in parts)) & set(PARTS) if parts else set()
    return {name: fmean(found[name] for found in parts) for name in PARTS if name in names}


def _common_parts(scores: Sequence[Score]) -> list[str]:
    return [name for name in PARTS if scores and all(name in score.parts for score in scores)]


def _rank_correlations(series: Sequence[Sequence[Score]]) -> dict[str, float]:
    """Mean over the series, of the reward and of every part."""
    if not series:
        return {}
    kinds: dict[str, Callable[[Score], float]] = {"reward": lambda score: score.reward}
    for name in _common_parts([score for scores in series for score in scores]):
        kinds[name] = lambda score, name=name: score.parts[name]
    return {
        kind: fmean(rank_correlation(range(len(scores)), [value(score) for score in scores]) for scores in series)
        for kind, value in kinds.items()
    }


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's: the correlation of the ranks, equal values sharing their mean rank. 0 where a side is constant."""
    a, b = _ranks(np.asarray(x, dtype=np.float64)), _ranks(np.asarray(y, dtype=np.float64))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] from 1; equal values share the mean of their ranks."""
    below = (values[:, None] > values[None, :]).sum(axis=1)
    equal = (values[:, None] == values[None, :]).sum(axis=1)
    return below + (equal + 1) / 2


def worst_case(language: str, name: str, scored: Sequence[ScoredCheats]) -> Case | None:
    """The group in which the cheat came closest."""
    pairs = _pairs(scored, name)
    if not pairs:
        return None
    group, faithful, cheat = min(pairs, key=lambda pair: pair[1].reward - pair[2].reward)
    return Case(
        language=language,
        cheat=name,
        item_id=group.group.item_id,
        question=group.group.request.question,
        faithful=_response(group.text(FAITHFUL), faithful),
        cheating=_response(group.text(name), cheat),
    )


def _response(text: str, score: Score) -> Response:
    parts = {name: value for name, value in score.parts.items() if name in PARTS}
    shut = tuple(name for name, is_open in score.gates.items() if not is_open)
    return Response(text=text, reward=score.reward, parts=parts, shut=shut)
