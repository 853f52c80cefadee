"""Draw the built-in problems from a seed: which template, which numbers, whose names.

The same arguments give the same items on every machine, and the first items don't depend on how many are asked for.

Splits are disjoint by construction: a hash of a template and its numbers alone decides the split, so the numbers of
a test problem are never trained on under other names either.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice, zip_longest
from random import Random
from typing import Literal

from contracts.errors import BadInput
from contracts.rollouts import Problem
from contracts.seeds import stable_hash
from driver.problems.builtin.texts import TEXTS
from driver.problems.builtin.texts.templates import CAST_SIZE, LEVELS, TEMPLATES, Step, Template
from driver.problems.builtin.texts.wording import LanguageText, ParallelText
from languages.facts import LANGUAGES

Split = Literal["train", "test", "exemplar"]

_EXEMPLAR_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltinItem:
    """Hold one problem before it is worded in a language: numbers, people and the computed steps."""

    item_id: str
    template_id: str
    level: int
    values: Mapping[str, int]  # by letter
    cast: Mapping[str, int]  # by role (p, q), an index into every language's names
    steps: tuple[Step, ...]

    @property
    def answer(self) -> str:
        """Return the answer in digits."""
        return str(self.steps[-1].result)

    def text(self, language: str) -> ParallelText:
        """Return the item in one language."""
        words = _words(language)
        return words.render(self.template_id, values=self.values, cast=self.cast, steps=self.steps)


def builtin_items(
    *, seed: int, split: Literal["train", "test"], num_items: int, levels: Sequence[int] = LEVELS
) -> Iterator[BuiltinItem]:
    """Return the first `num_items` of the seed's items; levels alternate, and a level's templates come equally often.

    Raises:
        BadInput: the templates have fewer items, or the split or a level is unknown; before the first item.
    """
    _check_split(split)
    return _items(seed=seed, split=split, num_items=num_items, levels=levels)


def builtin_problems(
    *,
    seed: int,
    split: Literal["train", "test"],
    num_items: int,
    languages: Sequence[str],
    levels: Sequence[int] = LEVELS,
) -> Iterator[Problem]:
    """Return one problem for each item and language; the languages of an item follow each other.

    Raises:
        BadInput: the templates have fewer items, or the split, a level or a language is unknown.
    """
    for language in languages:
        _words(language)
    items = builtin_items(seed=seed, split=split, num_items=num_items, levels=levels)
    return (_problem(item, language) for item in items for language in languages)


def exemplars(language: str, *, num: int, levels: Sequence[int] = LEVELS) -> list[ParallelText]:
    """Return worked examples in one language, levels alternating; none is an item of train or test."""
    return [item.text(language) for item in _items(seed=_EXEMPLAR_SEED, split="exemplar", num_items=num, levels=levels)]


def capacity(split: Split, levels: Sequence[int] = LEVELS) -> int:
    """Return how many different items a split has."""
    templates = [template for template in TEMPLATES.values() if template.level in levels]
    return sum(len(_numbers(template.template_id, split)) * template.num_casts for template in templates)


def _words(language: str) -> LanguageText:
    if language not in TEXTS:
        raise BadInput(
            f"the built-in problems have no language {language!r}; they have {', '.join(TEXTS)}", key="languages"
        )
    return TEXTS[language]


def _check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise BadInput(f"the built-in problems have no split {split!r}; they have train and test", key="split")


def _problem(item: BuiltinItem, language: str) -> Problem:
    text = item.text(language)
    return Problem(
        item_id=item.item_id,
        language=language,
        question=text.question,
        question_en=item.text("en").question,
        answer=item.answer,
        translation=f"{text.solution}\n{LANGUAGES[language].closing.format(answer=text.answer)}",
    )


def _items(*, seed: int, split: Split, num_items: int, levels: Sequence[int]) -> Iterator[BuiltinItem]:
    wanted = sorted(set(levels))
    if not wanted or not set(wanted) <= set(LEVELS):
        raise BadInput(
            f"the built-in problems were asked for the levels {wanted}; name some of {', '.join(map(str, LEVELS))}",
            key="levels",
        )
    if num_items < 0:
        raise BadInput(f"the built-in problems can't give {num_items} items; ask for 0 or more", key="num_items")
    if num_items > (available := capacity(split, wanted)):
        raise BadInput(
            f"the built-in problems have {available} items in split {split!r} at levels "
            f"{', '.join(map(str, wanted))}, {num_items} were asked for; lower num_items or add levels",
            key="num_items",
        )
    return islice(_endless(seed=seed, split=split, levels=wanted), num_items)


def _endless(*, seed: int, split: Split, levels: Sequence[int]) -> Iterator[BuiltinItem]:
    """Yield all items of a split: in each round, every template that isn't used up gives one."""
    numbers = {name: _shuffled(name, split=split, seed=seed) for name in TEMPLATES if TEMPLATES[name].level in levels}
    position = 0
    for round_number in count():
        for template in _round(round_number, split=split, seed=seed, levels=levels, numbers=numbers):
            turn, place = divmod(round_number, len(numbers[template.template_id]))
            values = numbers[template.template_id][place]
            yield _item(f"builtin-{split}-{position:06d}", template, values=values, turn=turn)
            position += 1


def _round(
    round_number: int,
    *,
    split: Split,
    seed: int,
    levels: Sequence[int],
    numbers: Mapping[str, Sequence[tuple[int, ...]]],
) -> Iterator[Template]:
    """Yield the templates of one round, shuffled within their level; the levels alternate."""
    by_level: list[list[Template]] = []
    for level in levels:
        left = [
            template
            for template in TEMPLATES.values()
            if template.level == level and round_number < len(numbers[template.template_id]) * template.num_casts
        ]
        Random(f"{seed}/{split}/{level}/{round_number}").shuffle(left)
        by_level.append(left)
    for row in zip_longest(*by_level):
        yield from (template for template in row if template is not None)


def _item(item_id: str, template: Template, *, values: tuple[int, ...], turn: int) -> BuiltinItem:
    """Make an item. Numbers are used once with each cast: `turn` counts on from a cast that the numbers choose."""
    chosen = (stable_hash(f"cast/{template.template_id}/{values}") + turn) % template.num_casts
    cast: dict[str, int] = {}
    for role in template.people:
        chosen, cast[role] = divmod(chosen, CAST_SIZE)
    named = template.name_values(values)
    steps = template.solve(named)
    assert steps is not None, f"{template.template_id} has no solution for {values}, which its space lists"
    return BuiltinItem(
        item_id=item_id, template_id=template.template_id, level=template.level, values=named, cast=cast, steps=steps
    )


def _shuffled(template_id: str, *, split: Split, seed: int) -> list[tuple[int, ...]]:
    numbers = list(_numbers(template_id, split))
    Random(f"{seed}/{split}/{template_id}").shuffle(numbers)
    return numbers


@cache
def _numbers(template_id: str, split: Split) -> tuple[tuple[int, ...], ...]:
    """Return the numbers that a template may take in a split."""
    return tuple(values for values in TEMPLATES[template_id].space if _split_of(template_id, values) == split)


def _split_of(template_id: str, values: tuple[int, ...]) -> Split:
    """Return the split of a template's numbers: 5% exemplar, 20% test, 75% train."""
    bucket = stable_hash(f"split/{template_id}/{values}") % 20
    if bucket == 0:
        return "exemplar"
    return "test" if bucket <= 4 else "train"
