"""Hold the numbers of an evaluation: accuracy, language consistency and both at once, by language and on average."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

from contracts.errors import BadInput
from contracts.files import write_whole
from contracts.user_files import read_user_json
from rewards.reading import PIVOT_LANGUAGE

Moment = str
""""before", "after", or "step-12" while training goes on."""

EVALUATIONS, RESPONSES = "evaluation.json", "evaluations"
"""Names of the file of results in a run's folder, and of the folder with every evaluated response."""
_STEP = "step-"


def moment_of(step: int) -> Moment:
    """Return the moment after a step."""
    return f"{_STEP}{step}"


def step_of(moment: Moment) -> float:
    """Return the step after which a moment is: 0 for "before", and infinity for "after"."""
    if moment == "before":
        return 0
    number = moment.removeprefix(_STEP)
    return int(number) if number.isdecimal() else math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """Hold one evaluated response, kept for people to read."""

    item_id: str
    question: str
    gold: str
    response: str  # without thinking
    is_correct: bool
    is_in_language: bool
    thinking: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageResult:
    """Hold what was measured in one language. Shares are in [0, 1], means over the items and their samples.

    None where something was not measured: language consistency of a language without a language file, or of options
    whose log-likelihoods were compared.
    """

    language: str
    num_items: int
    accuracy: float  # the final answer is gold: the declared one, else one that is clear
    language_consistency: float | None  # the response is in the asked language
    accuracy_in_language: float | None  # both
    declared_rate: float  # a final answer was declared
    truncated_rate: float
    mean_length: float  # tokens
    mean_thinking_length: float = 0.0  # tokens up to the end of the thinking, of a model that thinks
    num_samples: int = 1  # responses to each item
    accuracy_spread: float | None = None  # standard error over items; None: that of a share of `num_items`
    accuracy_in_language_spread: float | None = None
    accuracy_by_length: float | None = None  # of scored options, by log-likelihood for each character
    consistency_by_lingua: float | None = None  # the response is in the asked language by lingua alone
    consistency_by_langdetect: float | None = None  # the same by langdetect alone
    thinking_consistency: float | None = None  # the thinking is in the asked language
    switched_lines: float | None = None  # share of a response's lines in another language
    distinct: Mapping[str, float] = field(default_factory=dict)  # n -> share of n-grams that differ, over all responses
    pass_at: Mapping[str, float] = field(default_factory=dict)  # k -> pass@k
    majority_at: Mapping[str, float] = field(default_factory=dict)  # k -> majority@k
    examples: tuple[Example, ...] = ()

    @property
    def accuracy_error(self) -> float:
        """Return the standard error of the accuracy."""
        if self.accuracy_spread is not None:
            return self.accuracy_spread
        return standard_error(self.accuracy, self.num_items)

    @property
    def accuracy_in_language_error(self) -> float | None:
        """Return the standard error of the share that is right and in the language."""
        if self.accuracy_in_language_spread is not None or self.accuracy_in_language is None:
            return self.accuracy_in_language_spread
        return standard_error(self.accuracy_in_language, self.num_items)


@dataclass(frozen=True, kw_only=True, slots=True)
class Average:
    """Hold a mean over several languages, or a difference to English, with standard errors clustered by item."""

    name: str  # "seen", "unseen", "all", "gap", or a script family
    languages: tuple[str, ...]
    accuracy: float
    accuracy_error: float
    language_consistency: float | None = None
    accuracy_in_language: float | None = None
    accuracy_in_language_error: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Edition:
    """Hold the accuracy in one language on a corrected set and on its original, over the items of both."""

    language: str
    num_items: int
    num_replaced: int
    original: float
    corrected: float
    original_replaced: float | None  # on the replaced items alone; None: there is none
    corrected_replaced: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TextResult:
    """Hold how probable plain texts of one language are to the model."""

    language: str
    num_texts: int
    num_tokens: int
    perplexity: float  # exp of the mean negative log-probability of a token
    bits_per_byte: float  # of UTF-8: comparable between models with different tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Overall:
    """Hold one share in English and its mean over the other languages.

    None if no language of that kind was measured. The mean's error takes the languages as fully correlated: they are
    asked the same items, so more languages do not make it smaller.
    """

    english: float | None
    others: float | None
    others_error: float | None

    @property
    def gap(self) -> float | None:
        """Return how far the other languages are behind English; None if one of the two was not measured."""
        return None if self.english is None or self.others is None else self.english - self.others


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationResult:
    """Hold one evaluation of one policy."""

    languages: tuple[LanguageResult, ...]
    measured_on: Mapping[str, str] = field(default_factory=dict)
    """Task, data, model, and how responses were drawn: two results are comparable only if these are equal."""
    averages: tuple[Average, ...] = ()
    editions: tuple[Edition, ...] = ()
    """Against the original of a corrected set, where both were measured."""
    texts: tuple[TextResult, ...] = ()
    """Of a task whose items are plain texts; it has no `languages`."""
    more: tuple["EvaluationResult", ...] = ()
    """Results of the further tasks that were measured at the same moment."""

    @property
    def task(self) -> str:
        """Return the name of the task."""
        return self.measured_on.get("task", "")

    @property
    def accuracy(self) -> Overall:
        return _overall([(r.language, r.accuracy, r.accuracy_error) for r in self.languages])

    @property
    def accuracy_in_language(self) -> Overall:
        return _overall([(r.language, r.accuracy_in_language, r.accuracy_in_language_error) for r in self.languages])

    def to_json(self) -> str:
        """Return the result as JSON; errors and overall numbers are for readers: `from_json` computes them again."""
        languages = [
            {
                **asdict(result),
                "accuracy_error": result.accuracy_error,
                "accuracy_in_language_error": result.accuracy_in_language_error,
            }
            for result in self.languages
        ]
        overall = {
            name: {**asdict(value), "gap": value.gap}
            for name, value in (("accuracy", self.accuracy), ("accuracy_in_language", self.accuracy_in_language))
        }
        record = {
            "measured_on": dict(self.measured_on),
            "overall": overall,
            "averages": [asdict(average) for average in self.averages],
            "editions": [asdict(edition) for edition in self.editions],
            "texts": [asdict(text) for text in self.texts],
            "languages": languages,
            "more": [json.loads(result.to_json()) for result in self.more],
        }
        return json.dumps(record, ensure_ascii=False, indent=2)

    @staticmethod
    def from_json(text: str) -> "EvaluationResult":
        """Read a result that `to_json` wrote."""
        record = json.loads(text)
        return EvaluationResult(
            languages=tuple(_language_from_record(found) for found in record["languages"]),
            measured_on=record["measured_on"],
            averages=tuple(
                Average(**{**found, "languages": tuple(found["languages"])}) for found in record.get("averages", ())
            ),
            editions=tuple(Edition(**found) for found in record.get("editions", ())),
            texts=tuple(TextResult(**found) for found in record.get("texts", ())),
            more=tuple(EvaluationResult.from_json(json.dumps(found)) for found in record.get("more", ())),
        )


def _language_from_record(record: Mapping) -> LanguageResult:
    derived = ("accuracy_error", "accuracy_in_language_error", "examples")
    plain = {name: value for name, value in record.items() if name not in derived}
    return LanguageResult(**plain, examples=tuple(Example(**example) for example in record["examples"]))


def standard_error(share: float, num_items: int) -> float:
    """Return the standard error of a share p of n independent items: sqrt(p (1 - p) / n)."""
    return math.sqrt(share * (1 - share) / num_items)


def _overall(measured: list[tuple[str, float | None, float | None]]) -> Overall:
    shares = [(code, share, error or 0.0) for code, share, error in measured if share is not None]
    english = [share for language, share, _ in shares if language == PIVOT_LANGUAGE]
    others = [share for language, share, _ in shares if language != PIVOT_LANGUAGE]
    errors = [error for language, _, error in shares if language != PIVOT_LANGUAGE]
    return Overall(
        english=english[0] if english else None,
        others=fmean(others) if others else None,
        others_error=fmean(errors) if errors else None,
    )


def record_evaluation(path: Path, moment: Moment, result: EvaluationResult) -> None:
    """Put a result into evaluation.json beside what it already holds; the file is replaced whole or not at all."""
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    records[moment] = json.loads(result.to_json())
    write_whole(path, json.dumps(records, ensure_ascii=False, indent=2) + "\n")


def read_evaluations(path: Path) -> dict[str, EvaluationResult]:
    """Read evaluation.json by moment ("before", "after"); empty if there is no file.

    Raises:
        BadInput: the file is damaged, or not what `record_evaluation` wrote.
    """
    if not path.exists():
        return {}
    records = read_user_json(path, key=path.name)
    try:
        if not isinstance(records, dict):
            raise TypeError(type(records).__name__)
        return {moment: EvaluationResult.from_json(json.dumps(record)) for moment, record in records.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path} is no record of evaluations ({type(error).__name__}); move it away", key=path.name
        ) from None
