"""Draw the problems of logic from a seed: which template, whose names, which things.

The same arguments give the same items on every machine, and the first items don't depend on how many are asked for.

Splits are disjoint by construction: a hash of a template and its casting alone decides the split.
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
from driver.problems.logic.texts import TEXTS
from driver.problems.logic.texts.templates import LEVELS, TEMPLATES, Clause, Entity, Step, Template
from driver.problems.logic.texts.wording import LogicProblem, LogicText

Split = Literal["train", "dev", "test", "exemplar"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogicItem:
    """Hold one problem before it is worded in a language."""

    item_id: str
    template_id: str
    level: int
    entities: Mapping[str, Entity]  # by role, those of the question's {p} and {q} included
    facts: tuple[Clause, ...]
    steps: tuple[Step, ...]

    @property
    def answer(self) -> Clause:
        """Return what the last step concludes."""
        return self.steps[-1].conclusion

    def text(self, language: str) -> LogicProblem:
        """Return the item in one language."""
        words = _words(language)
        return words.render(self.facts, self.steps, template_id=self.template_id, entities=self.entities)


def logic_items(*, seed: int, split: Split, num_items: int, levels: Sequence[int] = LEVELS) -> Iterator[LogicItem]:
    """Return the first `num_items` of the seed's items; levels alternate, and a level's templates come equally often.

    Raises:
        BadInput: a level is unknown, or the templates have fewer items; before the first item.
    """
    wanted = sorted(set(levels))
    if not wanted or not set(wanted) <= set(LEVELS):
        raise BadInput(
            f"the problems of logic were asked for the levels {wanted}; name some of {', '.join(map(str, LEVELS))}",
            key="levels",
        )
    if not 0 <= num_items <= (available := capacity(split, wanted)):
        raise BadInput(
            f"the problems of logic have {available} items in split {split!r} at levels "
            f"{', '.join(map(str, wanted))}, {num_items} were asked for; lower num_items or add levels",
            key="num_items",
        )
    return islice(_endless(seed=seed, split=split, levels=wanted), num_items)


def logic_problems(
    *, seed: int, split: Split, num_items: int, languages: Sequence[str], levels: Sequence[int] = LEVELS
) -> Iterator[Problem]:
    """Return one problem for each item and language; the languages of an item follow each other.

    Raises:
        BadInput: the templates have fewer items, or a level or a language is unknown.
    """
    for language in languages:
        _words(language)
    items = logic_items(seed=seed, split=split, num_items=num_items, levels=levels)
    return (_problem(item, language) for item in items for language in languages)


def capacity(split: Split, levels: Sequence[int] = LEVELS) -> int:
    """Return how many different items a split has."""
    return sum(len(_castings(name, split)) for name, template in TEMPLATES.items() if template.level in levels)


def _words(language: str) -> LogicText:
    if language not in TEXTS:
        raise BadInput(
            f"the problems of logic have no language {language!r}; they have {', '.join(TEXTS)}", key="languages"
        )
    return TEXTS[language]


def _problem(item: LogicItem, language: str) -> Problem:
    text = item.text(language)
    return Problem(
        item_id=item.item_id,
        language=language,
        question=text.question,
        question_en=item.text("en").question,
        answer=text.answer,
        translation=f"{text.solution}\n{TEXTS[language].closing.replace('{answer}', text.answer)}",
    )


def _endless(*, seed: int, split: Split, levels: Sequence[int]) -> Iterator[LogicItem]:
    """Yield all items of a split: in each round, every template that isn't used up gives one."""
    castings = {name: _shuffled(name, split=split, seed=seed) for name in TEMPLATES if TEMPLATES[name].level in levels}
    position = 0
    for turn in count():
        rows = []
        for level in levels:
            left = [name for name in castings if TEMPLATES[name].level == level and turn < len(castings[name])]
            Random(f"{seed}/{split}/{level}/{turn}").shuffle(left)
            rows.append(left)
        for row in zip_longest(*rows):
            for name in filter(None, row):
                yield _item(f"logic-{split}-{position:06d}", TEMPLATES[name], castings[name][turn])
                position += 1


def _item(item_id: str, template: Template, casting: tuple[int, ...]) -> LogicItem:
    entities = template.entities(casting)
    asked = sorted(entities[role] for role in template.asked)
    return LogicItem(
        item_id=item_id,
        template_id=template.template_id,
        level=template.level,
        entities=entities | dict(zip(("p", "q"), asked, strict=False)),
        facts=template.facts(casting),
        steps=template.steps(casting),
    )


def _shuffled(template_id: str, *, split: Split, seed: int) -> list[tuple[int, ...]]:
    castings = list(_castings(template_id, split))
    Random(f"{seed}/{split}/{template_id}").shuffle(castings)
    return castings


@cache
def _castings(template_id: str, split: Split) -> tuple[tuple[int, ...], ...]:
    """Return the castings that a template may take in a split."""
    template = TEMPLATES[template_id]
    return tuple(casting for casting in template.space if _split_of(template_id, casting) == split)


def _split_of(template_id: str, casting: tuple[int, ...]) -> Split:
    """Return the split of a casting: 5% exemplar, 10% dev, 20% test, 65% train."""
    bucket = stable_hash(f"split/{template_id}/{casting}") % 20
    if bucket == 0:
        return "exemplar"
    if bucket <= 2:
        return "dev"
    return "test" if bucket <= 6 else "train"
