"""Make the texts that the numbers models are trained on: equations, and built-in problems with their solutions.

Equations are in no language. They teach how to compute, so that what the policy lacks is the words of the other
languages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from driver.problems.builtin.generate import BuiltinItem, builtin_items
from driver.problems.builtin.texts.templates import TEMPLATES
from languages.facts import LANGUAGES
from quickstart.numbers.tokenizer import ASSISTANT, END, USER

LANGUAGES_KNOWN = ("en", "de", "es", "fr", "ru", "zh")
LEVELS = (1, 2)
"""Of the problems that the pivot learns."""
POLICY_LEVELS = (1,)
"""Of those that the policy has in its own course, and that the quickstart trains on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """Hold one training text in pieces: what the model is given, and what it learns to write, in turn."""

    pieces: tuple[tuple[str, str], ...]  # (given, wanted)


def problem_lesson(item: BuiltinItem, *, asked_in: str, answered_in: str) -> Lesson:
    """Return an item, asked in one language and solved in another or the same."""
    question, solution = item.text(asked_in), item.text(answered_in)
    prefix = LANGUAGES[asked_in].question_prefix
    separator = "" if prefix.endswith("：") else " "
    closing = LANGUAGES[answered_in].closing.format(answer=solution.answer)
    given = f"{USER}{prefix}{separator}{question.question}{END}{ASSISTANT}"
    return Lesson(pieces=((given, f"{solution.solution}\n{closing}{END}"),))


def equations_lesson(drawn: Sequence[str]) -> Lesson:
    """Return equations, one a line, of which only the results are learned: nothing says what comes before "="."""
    parts = (equation.partition(" = ") for equation in drawn)
    return Lesson(pieces=tuple((f"\n {left} =", f" {result}") for left, _, result in parts))


def equations(levels: Sequence[int]) -> list[str]:
    """Return every equation that a problem of these levels can need, sorted."""
    found: set[str] = set()
    for template in TEMPLATES.values():
        if template.level not in levels:
            continue
        for values in template.space:
            steps = template.solve(template.name_values(values))
            found.update(step.equation for step in steps or ())
    return sorted(found)


def english_lessons(*, seed: int, num: int, levels: Sequence[int]) -> list[Lesson]:
    """Return English problems of the training split."""
    items = builtin_items(seed=seed, split="train", num_items=num, levels=levels)
    return [problem_lesson(item, asked_in="en", answered_in="en") for item in items]


def foreign_lessons(*, seed: int, num: int, languages: Sequence[str], english_share: float) -> list[Lesson]:
    """Return `num` problems of the policy's level in each language; this share of them is answered in English."""
    items = list(builtin_items(seed=seed, split="train", num_items=num * len(languages), levels=POLICY_LEVELS))
    random = Random(f"answered in English/{seed}")
    lessons: list[Lesson] = []
    for number, language in enumerate(languages):
        for item in islice(items, number * num, (number + 1) * num):
            answered_in = "en" if random.random() < english_share else language
            lessons.append(problem_lesson(item, asked_in=language, answered_in=answered_in))
    return lessons


def texts_of_all_languages(*, seed: int, num: int) -> Iterator[str]:
    """Yield questions and solutions in every language, which the tokenizer learns its words from."""
    for item in builtin_items(seed=seed, split="train", num_items=num, levels=LEVELS):
        for language in LANGUAGES_KNOWN:
            lesson = problem_lesson(item, asked_in=language, answered_in=language)
            yield from (text for piece in lesson.pieces for text in piece)
