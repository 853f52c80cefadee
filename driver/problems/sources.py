"""Open the source of problems that a config names: a built-in set, a table, a Hugging Face dataset or MGSM."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Literal, Protocol

from contracts.config.data import (
    BuiltinSource,
    DataConfig,
    EvaluationConfig,
    FileSource,
    HubSource,
    LogicSource,
    MgsmSource,
    TrainingData,
)
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.builtin.generate import builtin_problems
from driver.problems.builtin.texts import TEXTS
from driver.problems.columns import Wanted, as_problem_table, find_usual, read_columns
from driver.problems.hub_tables import open_huggingface
from driver.problems.index import RowRules, TableSource
from driver.problems.logic.generate import logic_problems
from driver.problems.logic.texts import TEXTS as LOGIC_TEXTS
from driver.problems.mgsm import MgsmTable
from driver.problems.tables import JsonlTable, ParquetTable, Table, parquet_columns
from driver.problems.text_tables import CsvTable, TsvTable, open_json
from languages.facts import LANGUAGES


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

    @property
    def notes(self) -> Sequence[str]:
        """Return what a user should know about the problems, such as rows that were left out."""
        ...

    def problem(self, language: str, position: int) -> Problem:
        """Return the problem at a position of one language."""
        ...

    def where(self, language: str, position: int) -> str:
        """Return where that problem is, as a person finds it."""
        ...


class ListSource:
    """Serve problems that are in memory: the built-in sets, which are generated."""

    def __init__(self, problems: Iterable[Problem], *, name: str) -> None:
        self.name = name
        self.notes = ()
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

    def where(self, language: str, position: int) -> str:
        """Return the name of that problem."""
        return f"{self.name}, problem {self._problems[language][position].group_key}"


def open_source(
    config: DataConfig | EvaluationConfig, *, languages: Sequence[str], seed: int, needs_english: bool = True
) -> ProblemSource:
    """Open and check the source that a `[data]` or `[evaluation]` section names.

    Args:
        config: the section; `path` is absolute or a hub name.
        languages: that are kept, each of which must have a problem.
        seed: of the built-in sets.
        needs_english: every problem needs an English question, as where the pivot is asked.

    Raises:
        BadInput: the first thing that is wrong with the source, or one of `languages` has no problem in it.
    """
    source = _open(config, languages, seed, needs_english=needs_english)
    if missing := [language for language in languages if not source.counts.get(language)]:
        there = ", ".join(sorted(source.counts))
        raise BadInput(
            f"{source.name} has no problem in {', '.join(missing)}; it has {there}"
            + "".join(f"; {note}" for note in source.notes)
            + f"; {_section(config)}.languages says which are asked for",
            key="languages",
        )
    return source


def problems_by_language(
    config: DataConfig | EvaluationConfig, *, languages: Sequence[str] = (), needs_english: bool = True
) -> Mapping[str, int]:
    """Return how many problems a source has in each language that is known, or in each of `languages`.

    Raises:
        BadInput: the first thing that is wrong with the source.
    """
    match config:
        case BuiltinSource():
            known = tuple(TEXTS)
        case LogicSource():
            known = tuple(LOGIC_TEXTS)
        case _:
            known = tuple(LANGUAGES)
    return _open(config, tuple(languages) or known, 0, needs_english=needs_english).counts


def usual_columns(config: FileSource | HubSource) -> Mapping[str, str]:
    """Return the columns that a table has under other usual names than those the section says, by what they hold.

    Raises:
        BadInput: the table can't be read.
    """
    section: Literal["data", "evaluation"] = "data" if isinstance(config, TrainingData) else "evaluation"
    wanted = Wanted(section=section, columns=config.columns, languages=tuple(LANGUAGES))
    return find_usual(_open_table(config, wanted), wanted)


def first_problems(source: ProblemSource, languages: Sequence[str], *, num_items: int) -> Iterator[Problem]:
    """Yield the first `num_items` of every language, or all if it has fewer; parallel rows give the same items."""
    return (problem for _, problem in placed_problems(source, languages, num_items=num_items))


def placed_problems(
    source: ProblemSource, languages: Sequence[str], *, num_items: int
) -> Iterator[tuple[Callable[[], str], Problem]]:
    """Yield the same, each with the function that says where it is."""
    for language in languages:
        for position in range(min(num_items, source.counts[language])):
            yield partial(source.where, language, position), source.problem(language, position)


def _open(
    config: DataConfig | EvaluationConfig, languages: Sequence[str], seed: int, *, needs_english: bool
) -> ProblemSource:
    rules = RowRules(
        section=_section(config),
        languages=languages,
        needs_english=needs_english,
        on_bad_item=config.on_bad_item,
        needs_number=config.on_bad_item == "skip" and not isinstance(config, TrainingData),
        split=config.split if isinstance(config, FileSource) else "all",
    )
    if isinstance(config, BuiltinSource):
        problems = builtin_problems(
            seed=seed,
            split=config.split,
            levels=config.levels,
            num_items=config.num_items,
            languages=tuple(languages),
        )
        return ListSource(problems, name=f"the built-in set's {config.split} split")
    if isinstance(config, LogicSource):
        problems = logic_problems(
            seed=seed, split=config.split, levels=config.levels, num_items=config.num_items, languages=languages
        )
        return ListSource(problems, name=f"the {config.split} split of the problems of logic")
    if isinstance(config, MgsmSource):
        return TableSource(
            MgsmTable(Path(config.path), languages=languages), name=f"MGSM in {config.path}", rules=rules
        )
    wanted = Wanted(
        section=_section(config),
        columns=config.columns,
        languages=languages,
        rows_language=config.rows_language,
        needs_english=needs_english,
    )
    name = config.path if isinstance(config, FileSource) else f"dataset {config.path}"
    return TableSource(as_problem_table(_open_table(config, wanted), wanted), name=name, rules=rules)


def _section(config: DataConfig | EvaluationConfig) -> Literal["data", "evaluation"]:
    return "data" if isinstance(config, TrainingData) else "evaluation"


def _open_table(config: FileSource | HubSource, wanted: Wanted) -> Table:
    path = Path(config.path)
    match config.source:
        case "jsonl":
            return JsonlTable(path)
        case "json":
            return open_json(path)
        case "csv":
            return CsvTable(path, header=config.header)
        case "tsv":
            return TsvTable(path, header=config.header)
        case "parquet":
            return ParquetTable(path, columns=read_columns(parquet_columns(path), wanted))
        case "huggingface":
            return open_huggingface(config.path, split=config.split, subset=config.subset, revision=config.revision)
