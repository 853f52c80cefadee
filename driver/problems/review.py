"""Look through all problems of a source before a run: prompts that are too long, and items that are evaluated, too.

A prompt is built only where it may be too long: a token stands for a byte of text at least, with few exceptions.
"""

import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.index import leaves_out
from driver.problems.prompts import PromptTooLong
from driver.problems.sources import ProblemSource

_MARGIN = 1.5  # tokens of a byte, at most: normalisation may make a text longer
_NUM_SHOWN = 3
_NUM_BUILT = 2000  # prompts that are built in any case: a chat template may refuse one


@dataclass(frozen=True, kw_only=True)
class PromptCheck:
    """Build the prompt of one engine."""

    section: Literal["policy", "pivot"]
    text: Callable[[Problem], str]  # that the prompt asks
    build: Callable[[Problem], Sequence[int]]
    room: int  # tokens of the longest prompt


@dataclass
class TooLong:
    """Collect the problems whose prompt leaves no room for a response."""

    max_model_len: str  # key of the model's context
    max_response_tokens: str  # key of the longest response
    count: int = 0
    first: list[str] = field(default_factory=list)  # where they are
    longest: PromptTooLong | None = None
    longest_at: str = ""

    def add(self, mistake: PromptTooLong, where: str) -> None:
        self.count += 1
        if self.count <= _NUM_SHOWN:
            self.first.append(where)
        if self.longest is None or mistake.num_tokens > self.longest.num_tokens:
            self.longest, self.longest_at = mistake, where

    def describe(self, num_problems: int) -> str:
        """Return how many there are, the longest, and the first."""
        assert self.longest is not None
        return (
            f"{self.count} of {num_problems} problems have a prompt that is too long. The longest has "
            f"{self.longest.num_tokens} tokens ({self.longest_at}), and {self.max_model_len} less "
            f"{self.max_response_tokens} leaves {self.longest.room}. The first: {'; '.join(self.first)}"
        )


class PartOfSource:
    """Serve the problems of a source without some that are left out."""

    def __init__(self, source: ProblemSource, left_out: Mapping[str, set[int]], *, notes: Sequence[str]) -> None:
        """`left_out` holds positions by language."""
        self._source = source
        self.name = source.name
        self.notes = (*source.notes, *notes)
        self._kept = {
            language: array("Q", (number for number in range(count) if number not in left_out.get(language, ())))
            for language, count in source.counts.items()
        }
        positions = sorted((language, sorted(numbers)) for language, numbers in left_out.items() if numbers)
        digest = blake2b(f"{source.fingerprint}{positions}".encode(), digest_size=16)
        self.fingerprint = digest.hexdigest()

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many problems each language has."""
        return {language: len(kept) for language, kept in self._kept.items() if kept}

    def problem(self, language: str, position: int) -> Problem:
        """Return the problem at a position of one language."""
        return self._source.problem(language, self._kept[language][position])

    def where(self, language: str, position: int) -> str:
        """Return where that problem is."""
        return self._source.where(language, self._kept[language][position])


def usable_problems(
    source: ProblemSource,
    languages: Sequence[str],
    *,
    checks: Sequence[PromptCheck],
    on_bad_item: Literal["refuse", "skip"],
) -> ProblemSource:
    """Return the source without the problems whose prompts are too long; the source itself where all fit.

    Raises:
        BadInput: a chat template refuses a prompt; or a prompt is too long and may not be left out; or a language would
            have no problem left.
    """
    found = {
        check.section: TooLong(f"{check.section}.max_model_len", f"{check.section}.max_response_tokens")
        for check in checks
    }
    left_out: dict[str, set[int]] = {}
    num_built = _NUM_BUILT // max(1, len(languages))
    for language in languages:
        rooms = [_Room(check) for check in checks]
        for position in range(source.counts[language]):
            problem = source.problem(language, position)
            for room in rooms:
                if (mistake := room.refusal(problem, must_build=position < num_built)) is not None:
                    found[room.check.section].add(mistake, source.where(language, position))
                    left_out.setdefault(language, set()).add(position)
    num_problems = sum(source.counts[language] for language in languages)
    lines = {section: one.describe(num_problems) for section, one in found.items() if one.count}
    emptied = [code for code, positions in left_out.items() if len(positions) == source.counts[code]]
    if lines and (on_bad_item == "refuse" or emptied):
        section, line = next(iter(lines.items()))
        way_out = f"; {leaves_out('data')}" if not emptied else f"; nothing would be left in {', '.join(emptied)}"
        raise BadInput(
            f"{source.name}: {line}; raise {section}.max_model_len, or lower {section}.max_response_tokens or the "
            f"number of worked examples{way_out}",
            key=f"{section}.max_model_len",
        )
    notes = [f"{line}. They are left out" for line in lines.values()]
    return PartOfSource(source, left_out, notes=notes) if left_out else source


def shared_items(
    source: ProblemSource, languages: Sequence[str], evaluated: Iterable[tuple[str, str, str]]
) -> Iterator[str]:
    """Yield one line where problems are learned from that are evaluated, too; a case or a space makes no difference.

    Args:
        source: of what is learned from.
        languages: that are learned.
        evaluated: name of the item, its language and its question.
    """
    wanted = {(language, _key(question)): name for name, language, question in evaluated}
    found: dict[str, str] = {}
    for language in languages:
        for position in range(source.counts[language]):
            problem = source.problem(language, position)
            for spoken, question in ((language, problem.question), ("en", problem.question_en)):
                if (name := wanted.get((spoken, _key(question)))) is not None:
                    found.setdefault(f"{name} in {spoken}", source.where(language, position))
    if found:
        item, where = next(iter(found.items()))
        yield (
            f"{len(found)} of the {len(wanted)} questions of the evaluation are also learned from, such as {item} "
            f"({where}): results on them don't show what was learned for other problems"
        )


class _Room:
    """Find prompts that are too long, in one language."""

    def __init__(self, check: PromptCheck) -> None:
        self.check = check
        self._around: int | None = None  # tokens around a question, and a question

    def refusal(self, problem: Problem, *, must_build: bool) -> PromptTooLong | None:
        question = self.check.text(problem)
        surely_fits = self._around is not None and self._around + _MARGIN * len(question.encode()) <= self.check.room
        if surely_fits and not must_build:
            return None
        try:
            num_tokens = len(self.check.build(problem))
        except PromptTooLong as mistake:
            return mistake
        self._around = max(num_tokens, self._around or 0)
        return None


def _key(question: str) -> bytes:
    plain = " ".join(unicodedata.normalize("NFC", question).casefold().split())
    return blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()
