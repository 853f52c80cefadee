"""Map raw similarities to [0, 1], language by language.

A calibration is fitted on parallel solutions, so that a faithful reasoning earns the same on average in every language.
It is kept as JSON.

The formula is ours. For a raw value v of language l, with z the raw value that counts as 0:

    C = d² / (d² + half_l²),   d = max(0, v - z)

z is the raw value of the question in place of a reasoning: its mean over the parallel problems, or the value of the
response's own question. half_l is such that the parallel solutions above z have `FAITHFUL_EARNS` as their mean of C.
Unlike a straight line cut at a ceiling, C keeps rising: two responses above any ceiling still differ.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.rollouts import ParallelSolution, ScoreRequest
from rewards.reading import read_group
from rewards.reasoning.similarity import ReasoningPair, reasoning_pair

VERSION = 1
FAITHFUL_EARNS: Mapping[str, float] = {"language": 0.91, "question": 0.80}
"""Mean of C over parallel solutions, by baseline; chosen by measuring with e5-small (docs/rewards.md). With one zero
per language the problem itself moves v as much as the reasoning does, and only near the top are languages alike on
other data too. With the question's own zero they are alike lower down, where C rises more steeply."""
FIT = f"{VERSION} {dict(FAITHFUL_EARNS)}"
"""A text that changes with how a scale is fitted: a calibration of another fit is not used."""
MIN_SOLUTIONS = 8
"""Fewest parallel solutions with a finite value that a language is fitted on."""
ROUNDING = 1e-6
"""Two raw values that differ by less are equal: encoders compute in float32."""
MIN_SHARE_ABOVE = 0.75
"""Least share of the parallel solutions that must lie above the value of the question alone."""

Baseline = Literal["language", "question"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Hold mean and standard deviation of the raw values of one kind of text."""

    mean: float
    sd: float
    num: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageScale:
    """Hold the statistics of one language against English."""

    floor: float  # raw value that counts as 0 with the baseline "language"
    half: float  # raw distance above the floor that earns 1/2 with the baseline "language"
    half_over_question: float  # raw distance above the question's own value that earns 1/2; baseline "question"
    faithful: Spread  # the parallel solution
    question: Spread  # the question in place of a reasoning
    unrelated: Spread  # another problem's solution


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Hold the scales of one similarity, measured on one set of parallel solutions."""

    similarity: str  # fingerprint of the similarity, with the version of its texts
    data: str  # fingerprint of the parallel solutions
    languages: Mapping[str, LanguageScale]

    def rescale(
        self, values: NDArray[np.float64], languages: Sequence[str], *, baselines: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return [N] in [0, 1) for the raw `values` [N] in `languages` [N]; NaN stays NaN.

        `baselines` [N] are the raw values of the questions alone, where each response has its own zero.

        Raises:
            ValueError: a language was not measured.
        """
        self.require(languages)
        scales = [self.languages[language] for language in languages]
        if baselines is None:
            zeros = np.array([scale.floor for scale in scales])
            halves = np.array([scale.half for scale in scales])
        else:
            zeros, halves = baselines, np.array([scale.half_over_question for scale in scales])
        return earned(values - zeros, halves)

    def require(self, languages: Sequence[str]) -> None:
        """Check that all of the languages were measured.

        Raises:
            ValueError: one was not.
        """
        if missing := sorted(set(languages) - set(self.languages)):
            raise ValueError(
                f"the calibration has no statistics for {', '.join(missing)}; it has {', '.join(self.languages)}. "
                "Measure them with `calibrate` on parallel solutions in that language"
            )

    def to_json(self) -> str:
        """Return the calibration as JSON, with the version of its form."""
        languages = {language: asdict(scale) for language, scale in self.languages.items()}
        record = {"version": VERSION, "judge": self.similarity, "data": self.data, "languages": languages}
        return json.dumps(record, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class LinearScale:
    """Map every language on a straight line from `low` (0) to `high` (1), clipped; needs no statistics."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ValueError: `low` is not below `high`.
        """
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")

    def rescale(
        self, values: NDArray[np.float64], languages: Sequence[str], *, baselines: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return [N] in [0, 1] for the raw `values` [N], the same for all languages; NaN stays NaN.

        With `baselines` [N] each value has its own zero, where that is above `low`. With a zero at or above `high` a
        value above it earns 1 and any other 0.
        """
        zeros = np.full(len(values), self.low) if baselines is None else np.maximum(baselines, self.low)
        width = np.maximum(self.high - zeros, np.finfo(np.float64).tiny)
        return np.clip((values - zeros) / width, 0.0, 1.0)


def earned(above: NDArray[np.float64], half: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return C = d² / (d² + half²) [N] for d = max(0, above) with `above` [N]: 0 at 0, 1/2 at `half`."""
    squared = np.maximum(above, 0.0) ** 2
    return squared / (squared + np.square(half))


def calibration_pairs(solutions: Sequence[ParallelSolution]) -> list[ReasoningPair]:
    """Return the pairs [3N] that are compared for a calibration on N solutions.

    For each solution these are the solution itself, its question alone, and the solution of the next problem in the
    same language (for the last problem, of the first).
    """
    pairs = [_pair(solution) for solution in solutions]
    following = _following(solutions)
    return [
        replace(pair, reasoning=reasoning)
        for index, pair in enumerate(pairs)
        for reasoning in (pair.reasoning, pair.question, pairs[following[index]].reasoning)
    ]


def fit(solutions: Sequence[ParallelSolution], values: Sequence[float], *, similarity: str, data: str) -> Calibration:
    """Fit the scales to the raw `values` [3N] of `calibration_pairs(solutions)`.

    A solution with a value that is not finite is left out. `similarity` and `data` are the fingerprints to record.

    Raises:
        ValueError: the number of values is wrong, a language has too few of them, or the similarity hardly separates
            solutions from their questions there.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.shape != (3 * len(solutions),):
        raise ValueError(f"{table.size} values for {len(solutions)} solutions; there must be 3 of each")
    table = table.reshape(-1, 3)
    spoken = np.array([solution.language for solution in solutions])
    languages = dict.fromkeys(spoken.tolist())
    scales = {language: _fit_language(language, table[spoken == language]) for language in languages}
    return Calibration(similarity=similarity, data=data, languages=scales)


def from_json(text: str) -> Calibration:
    """Return the calibration that `Calibration.to_json` wrote.

    Raises:
        ValueError: the text is damaged or of another version.
    """
    try:
        record = json.loads(text)
        if record["version"] != VERSION:
            raise ValueError(f"it has version {record['version']!r}, this is {VERSION}")
        languages = {language: _scale(row) for language, row in record["languages"].items()}
        calibration = Calibration(similarity=str(record["judge"]), data=str(record["data"]), languages=languages)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"no calibration, or a damaged one ({reason}); write it again with `calibrate`") from None
    return calibration


def _fit_language(language: str, values: NDArray[np.float64]) -> LanguageScale:
    """Return the scale of a language from raw values [N, 3]: solution, question alone, another solution."""
    finite = values[np.isfinite(values).all(axis=1)]
    if len(finite) < MIN_SOLUTIONS:
        raise ValueError(
            f"calibration of {language!r}: {len(finite)} of {len(values)} parallel solutions have a value, at least "
            f"{MIN_SOLUTIONS} are needed; give more solutions, or another method that can compare them"
        )
    faithful, question, unrelated = finite.T
    floor = float(question.mean())
    return LanguageScale(
        floor=floor,
        half=_fit_half(language, faithful - floor, "language"),
        half_over_question=_fit_half(language, faithful - question, "question"),
        faithful=_spread(faithful),
        question=_spread(question),
        unrelated=_spread(unrelated),
    )


def _fit_half(language: str, above: NDArray[np.float64], baseline: Baseline) -> float:
    """Return the half at which solutions at distances `above` [N] from zero earn FAITHFUL_EARNS on average.

    The few solutions below zero earn nothing with any half and are left out.
    """
    positive = above[above > ROUNDING]
    if len(positive) < MIN_SHARE_ABOVE * len(above):
        raise ValueError(
            f"calibration of {language!r}: only {len(positive)} of {len(above)} parallel solutions are closer to the "
            "English one than their question alone is, so the method does not measure reasoning in this language; "
            'take another encoder or method, or set reward.reasoning.calibration = "off"'
        )
    low, high = 0.0, 10 * float(positive.max())
    for _ in range(100):  # halves the interval to the last bit
        half = (low + high) / 2
        is_too_easy = earned(positive, half).mean() > FAITHFUL_EARNS[baseline]
        low, high = (half, high) if is_too_easy else (low, half)
    return high


def _spread(values: NDArray[np.float64]) -> Spread:
    return Spread(mean=float(values.mean()), sd=float(values.std()), num=len(values))


def _scale(row: Mapping[str, object]) -> LanguageScale:
    """Read one language of the JSON; ValueError, KeyError or TypeError where an entry is missing or no number."""
    floor, half, over_question = (_number(row[name]) for name in ("floor", "half", "half_over_question"))
    if min(half, over_question) <= 0:
        raise ValueError("a half is not above 0")
    return LanguageScale(
        floor=floor,
        half=half,
        half_over_question=over_question,
        faithful=_read_spread(row["faithful"]),
        question=_read_spread(row["question"]),
        unrelated=_read_spread(row["unrelated"]),
    )


def _read_spread(row: object) -> Spread:
    if not isinstance(row, dict):
        raise TypeError(f"{row!r} is no mean, sd and num")
    return Spread(mean=_number(row["mean"]), sd=_number(row["sd"]), num=int(_number(row["num"])))


def _number(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _pair(solution: ParallelSolution) -> ReasoningPair:
    """Read a solution as a response is read: its reasoning is the text before the declared answer."""
    (reading,) = read_group(
        ScoreRequest(
            language=solution.language,
            question=solution.question,
            question_en=solution.question_en,
            reference=solution.solution_en,
            responses=(solution.solution,),
            truncated=(False,),
        )
    )
    return reasoning_pair(reading)


def _following(solutions: Sequence[ParallelSolution]) -> list[int]:
    """Return the index [N] of the next solution in the same language; for the last one, of the first."""
    indices: dict[str, list[int]] = {}
    for index, solution in enumerate(solutions):
        indices.setdefault(solution.language, []).append(index)
    following = {index: after for own in indices.values() for index, after in zip(own, [*own[1:], own[0]], strict=True)}
    return [following[index] for index in range(len(solutions))]
