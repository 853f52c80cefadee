"""Index a table of problems: every row is checked once, and 8 bytes are kept for each row.

A table has no (item, language) twice, and one English question for each item.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.errors import BadInput, shown
from contracts.rollouts import Problem
from driver.problems.gold import gold_number
from driver.problems.rows import parse_row
from driver.problems.tables import Table
from languages.codes import did_you_mean
from languages.facts import LANGUAGES

_TEST_SHARE = 5  # one item of so many is of the test split
_NUM_SHOWN = 3  # rows that a line names


def leaves_out(section: str) -> str:
    """Return the advice for items that can't be used."""
    return f'{section}.on_bad_item = "skip" leaves such items out'


@dataclass(frozen=True, kw_only=True)
class RowRules:
    """Say which rows are kept."""

    section: Literal["data", "evaluation"] = "data"  # that names the source, for messages
    languages: Sequence[str] | None = None  # rows in others are skipped; None: all known languages, and no others
    needs_english: bool = True  # every row needs an English question
    on_bad_item: Literal["refuse", "skip"] | None = None  # what to do with a wrong row; None: refuse, without a choice
    needs_number: bool = False  # a row whose answer is no number is wrong
    split: Literal["all", "train", "test"] = "all"  # items that are kept

    def keeps(self, item_id: str) -> bool:
        """Return whether an item is of the split: in all languages, and in whatever file it stands."""
        is_test = _digest("split", item_id) % _TEST_SHARE == 0
        return self.split == "all" or is_test == (self.split == "test")


@dataclass
class BadRows:
    """Collect the rows that can't be used."""

    count: int = 0
    first: list[BadInput] = field(default_factory=list)

    def add(self, mistake: BadInput) -> None:
        self.count += 1
        if self.count <= _NUM_SHOWN:
            self.first.append(mistake)

    def refusal(self, *, way_out: str = "") -> BadInput:
        """Return the error about the first one, with the number of the others."""
        more = self.count - 1
        others = f" (and {more} more {'rows' if more > 1 else 'row'} can't be used)" if more else ""
        return BadInput(f"{self.first[0]}{others}{f'; {way_out}' if way_out else ''}", key=self.first[0].key)


class TableSource:
    """Serve the problems of a table by language and position in the table's order.

    A table without English rows serves English from its English questions, so that the gap can be measured.
    """

    def __init__(self, table: Table, *, name: str, rules: RowRules | None = None) -> None:
        """Read and check every row once.

        Raises:
            BadInput: a row is wrong; the message names the first one and where it is, and how many more there are.
        """
        self._table = table
        self._rules = rules or RowRules()
        self.name = name
        self.notes: tuple[str, ...] = ()
        self._rows: dict[str, array[int]] = {}
        self._borrows_english = False
        self.fingerprint = self._index()

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many problems each language has."""
        return {language: len(rows) for language, rows in self._rows.items()}

    def problem(self, language: str, position: int) -> Problem:
        """Read the problem at a position of one language."""
        problem = self._read(self._rows[language][position])
        if language == "en" and self._borrows_english:
            return replace(problem, language="en", question=problem.question_en, translation=None)
        return problem

    def where(self, language: str, position: int) -> str:
        """Return where the problem at a position of one language is, as a person finds it."""
        return self._table.where(self._rows[language][position])

    def _index(self) -> str:
        fingerprint, bad, skipped, num_others = blake2b(digest_size=16), BadRows(), Counter[str](), 0
        pairs, items, questions, numbers, spare = (array("Q") for _ in range(5))
        for number, row in enumerate(self._table.rows()):
            if not row:
                continue  # a gap in a wide table
            if self._is_skipped(row.get("language")):
                skipped[str(row["language"])] += 1
                spare.append(number)
                continue
            try:
                problem = parse_row(row, self._table, number, needs_english=self._rules.needs_english)
                if not self._rules.keeps(problem.item_id):
                    num_others += 1
                    continue
                self._check_answer(problem, number)
            except BadInput as mistake:
                bad.add(mistake)
                continue
            self._rows.setdefault(problem.language, array("Q")).append(number)
            numbers.append(number)
            pairs.append(_digest(problem.item_id, problem.language))
            items.append(_digest(problem.item_id))
            questions.append(_digest(problem.question_en))
            texts = (problem.group_key, problem.question, problem.question_en, problem.translation or "")
            fingerprint.update(_digest(*texts).to_bytes(8))
        if bad.count and (self._rules.on_bad_item != "skip" or not numbers):
            raise bad.refusal(way_out=leaves_out(self._rules.section) if self._rules.on_bad_item == "refuse" else "")
        self._refuse_duplicates(_uint64(pairs), numbers)
        self._refuse_conflicts(_uint64(items), _uint64(questions), numbers)
        if self._wants("en") and "en" not in self._rows:
            for text in self._borrow_english(sorted((*numbers, *spare))):
                fingerprint.update(_digest(text).to_bytes(8))
        if not self._rows:
            has = f"; it has {self._counted(skipped)}" if skipped else "; give a file with at least one"
            wanted = f" in {', '.join(self._rules.languages or ())}" if skipped else "s"
            raise BadInput(f"{self.name} holds no problem{wanted}{has}", key="languages" if skipped else self.name)
        self.notes = (*getattr(self._table, "notes", ()), *self._notes(bad, skipped, num_others))
        return fingerprint.hexdigest()

    def _wants(self, language: str) -> bool:
        return self._rules.languages is None or language in self._rules.languages

    def _is_skipped(self, language: object) -> bool:
        """Return whether a row is in a language that nobody asked for."""
        return bool(isinstance(language, str) and language.strip() and not self._wants(language))

    def _borrow_english(self, numbers: Sequence[int]) -> Iterator[str]:
        """Serve English from the first row of every item that has an English question, and yield these questions.

        The row may be in a language that is skipped.
        """
        items: set[int] = set()
        found = array("Q")
        for number in numbers:
            try:
                problem = self._read(number)
                self._check_answer(problem, number)
            except BadInput:  # a skipped row, which nobody has to correct
                continue
            if not self._rules.keeps(problem.item_id):
                continue
            if problem.question_en and (item := _digest(problem.item_id)) not in items:
                items.add(item)
                found.append(number)
                yield problem.question_en
        if found:
            self._rows["en"], self._borrows_english = found, True

    def _check_answer(self, problem: Problem, number: int) -> None:
        if self._rules.needs_number and gold_number(problem) is None:
            raise BadInput(
                f"{self._table.where(number)}: the answer is {shown(problem.answer)}, and no number", key="answer"
            )

    def _notes(self, bad: BadRows, skipped: Counter[str], num_others: int) -> Iterator[str]:
        """Yield what was left out."""
        if num_others:
            yield f"rows of the other split: {num_others}"
        if skipped:
            yield f"rows are skipped, in languages that are not asked for: {self._counted(skipped)}"
        if bad.count:
            first = "; ".join(str(mistake) for mistake in bad.first)
            yield f"rows are left out, since they can't be used: {bad.count}. The first: {first}"

    def _counted(self, languages: Mapping[str, int]) -> str:
        """Return languages with their numbers of rows; an unknown one with the one that may be meant."""
        known = self._rules.languages or LANGUAGES
        hints = {code: "" if code in LANGUAGES else did_you_mean(code, known=known) for code in languages}
        return ", ".join(f"{count} in {code}{hints[code]}" for code, count in languages.items())

    def _refuse_duplicates(self, pairs: NDArray[np.uint64], numbers: "array[int]") -> None:
        order = np.argsort(pairs, kind="stable")
        for at in np.flatnonzero(pairs[order][1:] == pairs[order][:-1]):
            first, second = numbers[order[at]], numbers[order[at + 1]]
            problem = self._read(second)
            if self._read(first).group_key == problem.group_key:  # else two digests collided
                raise BadInput(
                    f"{self._table.where(second)}: item {problem.item_id!r} in language {problem.language!r} is "
                    f"already at {self._table.where(first)}; remove one, or give it an item_id of its own",
                    key="item_id",
                )

    def _refuse_conflicts(
        self, items: NDArray[np.uint64], questions: NDArray[np.uint64], numbers: "array[int]"
    ) -> None:
        order = np.argsort(items, kind="stable")
        is_same_item = items[order][1:] == items[order][:-1]
        differs = questions[order][1:] != questions[order][:-1]
        for at in np.flatnonzero(is_same_item & differs):
            first, second = numbers[order[at]], numbers[order[at + 1]]
            problem = self._read(second)
            if self._read(first).item_id == problem.item_id:
                raise BadInput(
                    f"{self._table.where(second)}: item {problem.item_id!r} has another question_en at "
                    f"{self._table.where(first)}; the languages of an item share one English question",
                    key="question_en",
                )

    def _read(self, number: int) -> Problem:
        return parse_row(self._table.row(number), self._table, number, needs_english=self._rules.needs_english)


def _digest(*texts: str) -> int:
    """Return 64 bits that stand for the texts; equal ones are compared on the rows before they count as the same."""
    return int.from_bytes(blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _uint64(values: "array[int]") -> NDArray[np.uint64]:
    return np.frombuffer(values, dtype=np.uint64)
