"""Open the source of problems that a config names: the built-in set, JSON lines, Parquet, Hugging Face or MGSM."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from contracts.config.data import (
    BuiltinData,
    BuiltinEvaluation,
    DataConfig,
    EvaluationConfig,
    FileSource,
    HubData,
    HubEvaluation,
    MgsmSource,
)
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.builtin.generate import builtin_problems
from driver.problems.index import COLUMNS, TableSource
from driver.problems.mgsm import MgsmTable
from driver.problems.tables import JsonlTable, ParquetTable, open_huggingface


class ProblemSource(Protocol):
    """Serve problems by language and position; each (item, language) pair exists once."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Return a digest of the problems and their order: positions are valid for one fingerprint only."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the number of problems of each language."""
        ...

    def problem(self, language: str, position: int) -> Problem:
        """Return the problem at a position of one language."""
        ...


class ListSource:
    """Serve problems that are in memory: the built-in set, which is generated."""

    def __init__(self, problems: Iterable[Problem], *, name: str) -> None:
        self.name = name
        self._problems: dict[str, list[Problem]] = {}
        fingerprint = blake2b(digest_size=16)
        for problem in problems:
            self._problems.setdefault(problem.language, []).append(problem)
            texts = (problem.group_key, problem.question, problem.question_en, problem.translation)
            fingerprint.update(repr(texts).encode())
        self.fingerprint = fingerprint.hexdigest()

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many problems each language has."""
        return {language: len(problems) for language, problems in self._problems.items()}

    def problem(self, language: str, position: int) -> Problem:
        """Return the problem at a position of one language."""
        return self._problems[language][position]


def open_source(config: DataConfig | EvaluationConfig, *, languages: Sequence[str], seed: int) -> ProblemSource:
    """Open and check the source that a `[data]` or `[evaluation]` section names.

    `config.path` is absolute or a hub name; `seed` has an effect on the built-in set only.

    Raises:
        BadInput: the first thing that is wrong with the source, or one of `languages` has no problem in it.
    """
    source = _open(config, languages, seed)
    if missing := [language for language in languages if not source.counts.get(language)]:
        raise BadInput(
            f"{source.name} has no problem in {', '.join(missing)}; it has {', '.join(sorted(source.counts))}",
            key="languages",
        )
    return source


def first_problems(source: ProblemSource, languages: Sequence[str], *, num_items: int) -> Iterator[Problem]:
    """Yield the first `num_items` of every language, or all if it has fewer; parallel rows give the same items."""
    for language in languages:
        for position in range(min(num_items, source.counts[language])):
            yield source.problem(language, position)


def _open(config: DataConfig | EvaluationConfig, languages: Sequence[str], seed: int) -> ProblemSource:
    match config:
        case BuiltinData() | BuiltinEvaluation():
            problems = builtin_problems(
                seed=seed,
                split=config.split,
                levels=config.levels,
                num_items=config.num_items,
                languages=tuple(languages),
            )
            return ListSource(problems, name=f"the built-in set's {config.split} split")
        case FileSource(source="jsonl"):
            return TableSource(JsonlTable(Path(config.path)), name=config.path)
        case FileSource():
            return TableSource(ParquetTable(Path(config.path), columns=COLUMNS), name=config.path)
        case HubData() | HubEvaluation():
            return TableSource(open_huggingface(config.path, split=config.split), name=f"dataset {config.path}")
        case MgsmSource():
            return TableSource(MgsmTable(Path(config.path)), name=f"MGSM in {config.path}")
