"""Load parallel solutions: the same worked problems in several languages, for calibration and the audit.

Files:
- `.jsonl`: a row per item and language with the columns item_id, language, question and solution; every item has a row
  in "en". A solution closes as its language closes ("The answer is 18.").
- `.json`: the shape of MGSM's exemplars (Shi et al. 2022, arXiv 2210.03057), {language: {number: {"q": "", "a": ""}}}.
  The labels before their questions and answers are cut.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from contracts.errors import BadInput, shown
from contracts.rollouts import ParallelSolution
from contracts.user_files import read_user_json
from driver.problems.builtin.generate import builtin_items
from driver.problems.builtin.texts import TEXTS
from driver.problems.logic.generate import logic_problems
from driver.problems.logic.texts import TEXTS as LOGIC_TEXTS
from driver.problems.rows import is_text
from driver.problems.tables import JsonlTable
from languages.facts import LANGUAGES, languages_digest

BUILTIN_SOURCES = ("builtin", "logic")
"""Sources that need no file."""
_ENGLISH = "en"

_Texts = dict[str, dict[str, tuple[str, str]]]  # item -> language -> question and solution, in the file's order


def load_solutions(
    source: str, *, languages: Sequence[str], num_items: int, seed: int, split: Literal["train", "test"]
) -> list[ParallelSolution]:
    """Load the first `num_items` of each language, or all if it has fewer; the languages of an item follow each other.

    `source` is one of BUILTIN_SOURCES or a file's absolute path. Without `languages` all that it has are loaded. `seed`
    and `split` choose among built-in problems and have no effect on a file.

    Raises:
        BadInput: the first thing that is wrong with the source.
    """
    if source not in BUILTIN_SOURCES:
        texts = _read(Path(source))
    elif source == "logic":
        texts = _logic(num_items, languages, seed, split)
    else:
        texts = _builtin(num_items, languages, seed, split)
    wanted = _wanted(source, texts, languages)
    counts = dict.fromkeys(wanted, 0)
    solutions: list[ParallelSolution] = []
    for item_id, by_language in texts.items():
        for language in wanted:
            if language in by_language and counts[language] < num_items:
                counts[language] += 1
                solutions.append(_solution(item_id, language, by_language))
    return solutions


def fingerprint(solutions: Sequence[ParallelSolution]) -> str:
    """Return a digest of every text, in order, and of the languages of a user's own in which there is one."""
    digest = blake2b(digest_size=8)
    spoken = {solution.language for solution in solutions}
    if own := [language for language in LANGUAGES.own if language.code in spoken]:
        digest.update(languages_digest(own).encode())
    for solution in solutions:
        row = (solution.item_id, solution.language, solution.question, solution.solution)
        digest.update(json.dumps([*row, solution.question_en, solution.solution_en]).encode())
    return digest.hexdigest()


def _builtin(num_items: int, languages: Sequence[str], seed: int, split: Literal["train", "test"]) -> _Texts:
    spoken = dict.fromkeys((_ENGLISH, *(languages or TEXTS)))
    texts: _Texts = {}
    for item in builtin_items(seed=seed, split=split, num_items=num_items):
        rendered = {language: item.text(language) for language in spoken}
        texts[item.item_id] = {
            language: (text.question, f"{text.solution}\n{LANGUAGES[language].closing.format(answer=text.answer)}")
            for language, text in rendered.items()
        }
    return texts


def _logic(num_items: int, languages: Sequence[str], seed: int, split: Literal["train", "test"]) -> _Texts:
    spoken = tuple(dict.fromkeys((_ENGLISH, *(languages or LOGIC_TEXTS))))
    texts: _Texts = {}
    for problem in logic_problems(seed=seed, split=split, num_items=num_items, languages=spoken):
        texts.setdefault(problem.item_id, {})[problem.language] = (problem.question, problem.translation or "")
    return texts


def _wanted(source: str, texts: _Texts, languages: Sequence[str]) -> list[str]:
    """Return the languages to load.

    Raises:
        BadInput: one of them is not in the source, or the source has a language that is not known.
    """
    present = dict.fromkeys(language for by_language in texts.values() for language in by_language)
    if unknown := [language for language in present if language not in LANGUAGES]:
        raise BadInput(f"{source}: unknown language {unknown[0]!r}; known are {', '.join(LANGUAGES)}", key="language")
    if missing := [language for language in languages if language not in present]:
        raise BadInput(
            f"{source} has no solution in {', '.join(missing)}; it has {', '.join(present) or 'none at all'}",
            key="languages",
        )
    return list(languages or present)


def _solution(item_id: str, language: str, by_language: Mapping[str, tuple[str, str]]) -> ParallelSolution:
    question, solution = by_language[language]
    question_en, solution_en = by_language[_ENGLISH]
    return ParallelSolution(
        item_id=item_id,
        language=language,
        question=question,
        solution=solution,
        question_en=question_en,
        solution_en=solution_en,
    )


def _read(path: Path) -> _Texts:
    """Read and check the texts of a file: every item has English, and no text is empty."""
    texts: _Texts = {}
    for where, item_id, language, question, solution in _rows(path) if path.suffix == ".jsonl" else _exemplars(path):
        for name, text in (("question", question), ("solution", solution)):
            if not isinstance(text, str) or not text.strip():
                raise BadInput(f"{where}: the {name} is {shown(text)}; it must be some text", key=name)
            if not is_text(text):
                raise BadInput(
                    f"{where}: the {name} has half of a character (a lone surrogate); correct the text", key=name
                )
        by_language = texts.setdefault(item_id, {})
        if language in by_language:
            raise BadInput(
                f"{where}: item {item_id!r} has a second solution in {language!r}; one per language", key="language"
            )
        by_language[language] = (str(question), str(solution))
    if not texts:
        raise BadInput(f"{path} has no solutions; give at least one", key=path.name)
    for item_id, by_language in texts.items():
        if _ENGLISH not in by_language:
            raise BadInput(
                f"{path}: item {item_id!r} has no English solution, only {', '.join(by_language)}; "
                "every item needs one",
                key="language",
            )
    return texts


def _rows(path: Path) -> Iterator[tuple[str, str, str, object, object]]:
    """Yield (where, item, language, question, solution) of every row of a JSONL file."""
    table = JsonlTable(path)
    for number, row in enumerate(table.rows()):
        if missing := [name for name in ("item_id", "language", "question", "solution") if name not in row]:
            raise BadInput(
                f"{table.where(number)}: lacks {', '.join(missing)}; it has {', '.join(row)}", key=missing[0]
            )
        yield table.where(number), str(row["item_id"]), str(row["language"]), row["question"], row["solution"]


def _exemplars(path: Path) -> Iterator[tuple[str, str, str, object, object]]:
    """Yield the same of a file in the form of MGSM's exemplars."""
    for language, items in _json_object(path).items():
        for item_id, item in _object(items, f"{path}, {language!r}", file=path.name).items():
            where = f"{path}, {language!r}, {item_id!r}"
            texts = _object(item, where, file=path.name)
            question, solution = texts.get("q"), texts.get("a")
            label = LANGUAGES[language].question_prefix if language in LANGUAGES else ""
            yield (
                where,
                item_id,
                language,
                _without_label(question, label),
                _without_label(solution, LANGUAGES[language].solution_label if language in LANGUAGES else ""),
            )


def _json_object(path: Path) -> Mapping[str, object]:
    found = read_user_json(path, key=path.name, way_out="rows go into a .jsonl file")
    return _object(found, str(path), file=path.name)


def _object(value: object, where: str, *, file: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BadInput(
            f"{where}: a {type(value).__name__}; must be an object. Known shapes are "
            '{language: {number: {"q": question, "a": solution}}} and, in a .jsonl file, rows with item_id, language, '
            "question, solution",
            key=file,
        )
    return value


def _without_label(text: object, label: str) -> object:
    """Return the text behind its label; as it is if it has no such label, or is no text."""
    if not isinstance(text, str):
        return text
    composed = unicodedata.normalize("NFC", text).strip()
    return composed.removeprefix(unicodedata.normalize("NFC", label)).strip() if label else composed
