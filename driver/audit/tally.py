"""Count an audit's numbers from scores: wins, rejections, means, spreads, rank correlations, worst cases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

import numpy as np
from numpy.typing import NDArray

from contracts.config.reward import GatesConfig
from contracts.rollouts import Score, Unscored
from driver.audit.groups import FAITHFUL, CheatGroup
from driver.audit.result import QUESTIONS, SOLUTIONS, Case, CheatCell, GateCell, LanguageCell, Response
from rewards.compose import PARTS

LANGUAGE_GATE = "language"
_GATES = frozenset(GatesConfig().switches)

Scores = tuple[Score | Unscored, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredCheats:
    """Hold a group with its scores, in the order of its responses."""

    group: CheatGroup
    scores: Scores

    @property
    def faithful(self) -> Score | Unscored:
        """Return the score of the faithful response."""
        return self.scores[self.group.names.index(FAITHFUL)]

    def cheat(self, name: str) -> Score | Unscored | None:
        """Return the score of a cheat; None where the cheat was left out."""
        names = self.group.names
        return self.scores[names.index(name)] if name in names else None

    def text(self, name: str) -> str:
        """Return the response of a cheat, or the faithful one."""
        return self.group.request.responses[self.group.names.index(name)]


def verdicts(score: Score) -> dict[str, bool]:
    """Return for each gate whether it is open; one that is switched off is recorded as a part of its name, 0 or 1."""
    off = {name: value > 0.5 for name, value in score.parts.items() if name in _GATES}
    return {**off, **score.gates}


def _pairs(scored: Sequence[ScoredCheats], name: str) -> list[tuple[ScoredCheats, Score, Score]]:
    """Return (group, faithful score, cheat's score) where both were scored."""
    return [
        (group, faithful, cheat)
        for group in scored
        if isinstance(faithful := group.faithful, Score) and isinstance(cheat := group.cheat(name), Score)
    ]


def cheat_cell(language: str, name: str, scored: Sequence[ScoredCheats]) -> CheatCell:
    """Return how one cheat fares in one language."""
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
    """Return how often each gate rejects faithful solutions, and the language gate questions."""
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
    opened = [found[LANGUAGE_GATE] for found in asked if LANGUAGE_GATE in found]
    if opened:
        cells.append(
            GateCell(
                language=language,
                gate=LANGUAGE_GATE,
                texts=QUESTIONS,
                num_texts=len(opened),
                num_rejected=opened.count(False),
            )
        )
    return cells


def language_cell(
    language: str, scored: Sequence[ScoredCheats], corrupted: Sequence[Scores], *, seconds: float
) -> LanguageCell:
    """Return what faithful responses earn in a language; scoring its groups took `seconds` of wall-clock time."""
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
    """Return the mean over the series, for the reward and for every part."""
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
    """Return Spearman's correlation of [N] and [N] values.

    Equal values share their mean rank. The correlation is 0 where one side is constant.
    """
    a, b = _ranks(np.asarray(x, dtype=np.float64)), _ranks(np.asarray(y, dtype=np.float64))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [N] ranks from 1; equal values share the mean of their ranks."""
    below = (values[:, None] > values[None, :]).sum(axis=1)
    equal = (values[:, None] == values[None, :]).sum(axis=1)
    return below + (equal + 1) / 2


def worst_case(language: str, name: str, scored: Sequence[ScoredCheats]) -> Case | None:
    """Return the group in which the cheat's reward came closest to the faithful one, or exceeded it most."""
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
