"""Compute the numbers of a task from its judged rows: by language, and averaged over kinds of languages."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean

from driver.evaluation.estimates import Estimate, Levels, Scores, combined, majority_at, mean_over, pass_at
from driver.evaluation.judging import JudgedRow
from driver.evaluation.results import Average, EvaluationResult, Example, LanguageResult, TextResult
from driver.language_names import has_file, script_family
from languages.facts import LANGUAGES
from rewards.reading import PIVOT_LANGUAGE

NUM_EXAMPLES = 3
"""Responses kept for each language, the first ones: the same items before and after."""
NGRAMS = (1, 2, 3)
"""Lengths of the n-grams whose variety is measured."""

Measure = Callable[[JudgedRow], float | None]


def is_right(row: JudgedRow) -> float:
    """Return 1 for a right answer."""
    return float(row.is_correct)


def is_in_language(row: JudgedRow) -> float | None:
    """Return 1 for a response in the asked language; None where that was not measured."""
    return None if row.is_in_language is None else float(row.is_in_language)


def is_right_in_language(row: JudgedRow) -> float | None:
    """Return 1 for a right answer in the asked language; None where the language was not measured."""
    return None if row.is_in_language is None else float(row.is_correct and row.is_in_language)


def scores(rows: Iterable[JudgedRow], measure: Measure) -> Scores:
    """Return language -> item -> mean of a measure over the item's samples; languages without it are left out."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if (value := measure(row)) is not None:
            values[row.language][row.item_id].append(value)
    return {language: {item: fmean(found) for item, found in by_item.items()} for language, by_item in values.items()}


def levels_of(rows: Iterable[JudgedRow], weights: Mapping[str, float]) -> Levels:
    """Return which item is of which level."""
    return Levels(of_item={row.item_id: row.level for row in rows}, weights=dict(weights) or {"": 1.0})


def summarise_task(
    rows: Sequence[JudgedRow],
    *,
    trained: Collection[str],
    weights: Mapping[str, float],
    measured_on: Mapping[str, str],
) -> EvaluationResult:
    """Return the numbers of one task.

    Args:
        rows: of the task, in order.
        trained: languages that were seen in training.
        weights: of the task's levels.
        measured_on: what makes two results comparable.
    """
    levels = levels_of(rows, weights)
    by_language: dict[str, list[JudgedRow]] = defaultdict(list)
    for row in rows:
        by_language[row.language].append(row)
    return EvaluationResult(
        languages=tuple(_language(code, found, levels) for code, found in by_language.items()),
        measured_on=dict(measured_on),
        averages=averages(rows, trained=trained, levels=levels),
    )


def summarise_texts(rows: Sequence[JudgedRow], *, measured_on: Mapping[str, str]) -> EvaluationResult:
    """Return perplexity and bits per byte of each language's plain texts, over all of them together."""
    by_language: dict[str, list[JudgedRow]] = defaultdict(list)
    for row in rows:
        by_language[row.language].append(row)
    return EvaluationResult(
        languages=(),
        measured_on=dict(measured_on),
        texts=tuple(_texts(code, found) for code, found in by_language.items()),
    )


def _texts(code: str, rows: Sequence[JudgedRow]) -> TextResult:
    nats = -math.fsum(row.choice_logprobs[0] for row in rows)
    num_tokens = sum(row.num_tokens for row in rows)
    num_bytes = sum(len(row.question.encode()) for row in rows)
    return TextResult(
        language=code,
        num_texts=len(rows),
        num_tokens=num_tokens,
        perplexity=math.exp(nats / num_tokens),
        bits_per_byte=nats / math.log(2) / num_bytes,
    )


def _language(code: str, rows: Sequence[JudgedRow], levels: Levels) -> LanguageResult:
    accuracy = _estimate(rows, is_right, levels)
    both = _estimate(rows, is_right_in_language, levels)
    consistency = _estimate(rows, is_in_language, levels)
    assert accuracy is not None
    by_item = _by_item(rows)
    num_samples = min(map(len, by_item.values()))
    return LanguageResult(
        language=code,
        num_items=len(by_item),
        accuracy=accuracy.value,
        language_consistency=consistency and consistency.value,
        accuracy_in_language=both and both.value,
        declared_rate=fmean(row.is_declared for row in rows),
        truncated_rate=fmean(row.is_truncated for row in rows),
        mean_length=fmean(row.num_tokens for row in rows),
        mean_thinking_length=fmean(row.num_thinking_tokens for row in rows),
        num_samples=num_samples,
        accuracy_spread=accuracy.error,
        accuracy_in_language_spread=both and both.error,
        accuracy_by_length=_mean_or_none(row.is_correct_by_length for row in rows),
        consistency_by_lingua=_mean_or_none(row.is_in_language_by_lingua for row in rows),
        consistency_by_langdetect=_mean_or_none(row.is_in_language_by_langdetect for row in rows),
        thinking_consistency=_mean_or_none(row.is_thinking_in_language for row in rows),
        switched_lines=_mean_or_none(row.switched_lines for row in rows),
        distinct=_distinct(code, rows),
        pass_at={str(k): fmean(_pass_at(found, k) for found in by_item.values()) for k in _sizes(num_samples)},
        majority_at={str(k): fmean(_majority_at(found, k) for found in by_item.values()) for k in _sizes(num_samples)},
        examples=tuple(map(_example, rows[:NUM_EXAMPLES])) if rows[0].response else (),
    )


def _estimate(rows: Sequence[JudgedRow], measure: Measure, levels: Levels) -> Estimate | None:
    found = scores(rows, measure)
    return combined(found, mean_over(list(found)), levels) if found else None


def _by_item(rows: Sequence[JudgedRow]) -> dict[str, list[JudgedRow]]:
    by_item: dict[str, list[JudgedRow]] = defaultdict(list)
    for row in rows:
        by_item[row.item_id].append(row)
    return by_item


def _mean_or_none(values: Iterable[float | bool | None]) -> float | None:
    found = [float(value) for value in values if value is not None]
    return fmean(found) if found else None


def _sizes(num_samples: int) -> list[int]:
    """Return the k of pass@k and majority@k: powers of two up to the number of samples; none for one sample."""
    return [2**power for power in range(num_samples.bit_length()) if num_samples > 1]


def _pass_at(rows: Sequence[JudgedRow], k: int) -> float:
    return pass_at(len(rows), sum(row.is_correct for row in rows), k)


def _majority_at(rows: Sequence[JudgedRow], k: int) -> float:
    return majority_at([row.answer for row in rows], [row.is_correct for row in rows], k)


def _distinct(code: str, rows: Sequence[JudgedRow]) -> dict[str, float]:
    """Return the share of n-grams that differ from all others (Li et al. 2016, arXiv 1510.03055), over all responses.

    An n-gram has n words; in a language without spaces, n characters.
    """
    has_spaces = LANGUAGES[code].has_spaces if has_file(code) else True
    texts = [row.response.split() if has_spaces else list("".join(row.response.split())) for row in rows]
    shares = {}
    for n in NGRAMS:
        grams = [tuple(text[start : start + n]) for text in texts for start in range(len(text) - n + 1)]
        if grams:
            shares[str(n)] = len(set(grams)) / len(grams)
    return shares


def _example(row: JudgedRow) -> Example:
    return Example(
        item_id=row.item_id,
        question=row.question,
        gold=row.gold,
        response=row.response,
        is_correct=row.is_correct,
        is_in_language=bool(row.is_in_language),
        thinking=row.thinking,
    )


def averages(rows: Sequence[JudgedRow], *, trained: Collection[str], levels: Levels) -> tuple[Average, ...]:
    """Return the means over trained, other and all languages but English, those of script families, and the gap.

    Where it is not known what was trained, there are no means over trained and other languages.
    """
    languages = tuple(dict.fromkeys(row.language for row in rows))
    others = [code for code in languages if code != PIVOT_LANGUAGE]
    families: dict[str, list[str]] = defaultdict(list)
    for code in others:
        families[script_family(code)].append(code)
    groups = {
        "seen": [code for code in others if code in trained],
        "unseen": [code for code in others if code not in trained] if trained else [],
        "all": others,
        **(families if len(families) > 1 else {}),
    }
    found = [_average(name, rows, mean_over(codes), levels) for name, codes in groups.items() if codes]
    if PIVOT_LANGUAGE in languages and others:
        gap = {PIVOT_LANGUAGE: 1.0, **{code: -factor for code, factor in mean_over(others).items()}}
        found.append(_average("gap", rows, gap, levels))
    return tuple(found)


def _average(name: str, rows: Sequence[JudgedRow], factors: Mapping[str, float], levels: Levels) -> Average:
    right = combined(scores(rows, is_right), factors, levels)
    consistency, both = (_combined_or_none(rows, measure, factors, levels) for measure in _OF_LANGUAGE)
    return Average(
        name=name,
        languages=tuple(factors),
        accuracy=right.value,
        accuracy_error=right.error,
        language_consistency=consistency and consistency.value,
        accuracy_in_language=both and both.value,
        accuracy_in_language_error=both and both.error,
    )


_OF_LANGUAGE: tuple[Measure, Measure] = (is_in_language, is_right_in_language)


def _combined_or_none(
    rows: Sequence[JudgedRow], measure: Measure, factors: Mapping[str, float], levels: Levels
) -> Estimate | None:
    """Return the combined measure; None where one of the languages was not measured."""
    found = scores(rows, measure)
    return combined(found, factors, levels) if factors.keys() <= found.keys() else None
