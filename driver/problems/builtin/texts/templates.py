"""Define the arithmetic of the built-in problems: numbers, steps and answers, without words.

Owns which numbers a template may take and what is computed from them. Must not know any language: `text/` does.
A template's level is its number of arithmetic steps. Every number of an item, shown or computed, is a positive
integer that is at least 3 and doesn't end in 01 or 02, so that no language needs its singular or dual.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

People = Literal["", "p", "q", "pq"]

CAST_SIZE = 8
"""Girls (p) and boys (q) that every language has a name for."""

LARGEST = 999
"""No number is larger: thousands would need each language's digit grouping."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Hold one computed line of a solution."""

    left: int
    operator: str  # one of + - × ÷
    right: int
    result: int

    @property
    def equation(self) -> str:
        """Return the equation, which has the same characters in every language."""
        return f"{self.left} {self.operator} {self.right} = {self.result}"


@dataclass(frozen=True, kw_only=True)
class Template:
    """Define one kind of problem: `plan` says what is computed from the numbers that `numbers` allows."""

    template_id: str
    people: People  # who appears: p is always a girl, q always a boy
    numbers: Mapping[str, Sequence[int]]  # what each number of the question may be, in the order of the letters
    plan: tuple[str, ...]  # e.g. ("a × b", "r1 - c"): r1 is the first step's result

    @property
    def level(self) -> int:
        return len(self.plan)

    @property
    def num_casts(self) -> int:
        """Return in how many ways the template's people can be named."""
        return CAST_SIZE ** len(self.people)

    def solve(self, values: Mapping[str, int]) -> tuple[Step, ...] | None:
        """Return the steps for these numbers; None if a division has a remainder or no text can show a number."""
        if not all(is_showable(value) for value in values.values()):
            return None
        known = dict(values)
        steps: list[Step] = []
        for number, line in enumerate(self.plan, start=1):
            left, operator, right = line.split()
            step = _compute(known[left], operator, known[right])
            if step is None or not is_showable(step.result):
                return None
            known[f"r{number}"] = step.result
            steps.append(step)
        return tuple(steps)

    def name_values(self, values: tuple[int, ...]) -> dict[str, int]:
        """Return each number by its letter."""
        return dict(zip(self.numbers, values, strict=True))

    @cached_property
    def space(self) -> tuple[tuple[int, ...], ...]:
        """Return all choices of numbers that have a solution, in a fixed order: a few hundred to a few thousand."""
        return tuple(self._solvable())

    def _solvable(self) -> Iterator[tuple[int, ...]]:
        for values in product(*self.numbers.values()):
            if self.solve(self.name_values(values)) is not None:
                yield values


def is_showable(number: int) -> bool:
    """Return whether a text can show a number: not 1 or 2, nor a number with the grammar of 1 or 2."""
    return 3 <= number <= LARGEST and number % 100 not in (1, 2)


def _compute(left: int, operator: str, right: int) -> Step | None:
    """Return one step; None for a division with a remainder."""
    match operator:
        case "+":
            result = left + right
        case "-":
            result = left - right
        case "×":
            result = left * right
        case "÷":
            if left % right:
                return None
            result = left // right
        case _:
            raise ValueError(f"unknown operator {operator!r} in a plan; known are + - × ÷")
    return Step(left=left, operator=operator, right=right, result=result)


def _template(template_id: str, people: People, plan: str, /, **numbers: Sequence[int]) -> Template:
    """Return a template whose plan is one line: "a × b, r1 - c"."""
    return Template(template_id=template_id, people=people, numbers=numbers, plan=tuple(plan.split(", ")))


def _to(first: int, last: int, by: int = 1) -> range:
    """Return the numbers from `first` to `last`, both included."""
    return range(first, last + 1, by)


_ALL = (
    # One step.
    _template("gift", "pq", "a + b", a=_to(3, 40), b=_to(3, 40)),
    _template("bus", "", "a + b", a=_to(6, 45), b=_to(3, 24)),
    _template("plate", "q", "a - b", a=_to(8, 40), b=_to(3, 12)),
    _template("stickers", "pq", "a - b", a=_to(8, 60), b=_to(4, 40)),
    _template("oranges", "p", "a × b", a=_to(3, 15), b=_to(3, 15)),
    _template("candies", "q", "a ÷ b", a=_to(9, 120), b=_to(3, 12)),
    # Two steps.
    _template("pears", "q", "a + b, r1 - c", a=_to(5, 20), b=_to(5, 20), c=_to(3, 12)),
    _template("pencils", "pq", "a × b, r1 - c", a=_to(3, 9), b=_to(4, 12), c=_to(3, 20)),
    _template("shelves", "", "a × b, r1 + c", a=_to(3, 9), b=_to(5, 15), c=_to(3, 20)),
    _template("vases", "p", "a + b, r1 ÷ c", a=_to(4, 30), b=_to(4, 30), c=_to(3, 8)),
    _template("eggs", "q", "a - b, r1 ÷ c", a=_to(15, 60), b=_to(3, 12), c=_to(3, 8)),
    _template("coins", "pq", "a × b, a + r1", a=_to(4, 40), b=_to(3, 9)),
    # Three steps.
    _template("tickets", "", "a × b, c × d, r1 + r2", a=_to(3, 8), b=_to(9, 15), c=_to(3, 9), d=_to(3, 8)),
    _template("savings", "q", "a × b, r1 - c, r2 - d", a=_to(5, 12), b=_to(4, 9), c=_to(6, 15), d=_to(5, 12)),
    _template("cards", "pq", "a + b, a + r1, r2 ÷ c", a=_to(5, 30), b=_to(3, 20), c=_to(3, 9)),
    _template("rolls", "q", "a × b, r1 - c, r2 ÷ d", a=_to(3, 8), b=_to(6, 12), c=_to(3, 12), d=_to(3, 8)),
    _template("book", "p", "b × c, a - r1, r2 ÷ d", a=_to(40, 120, 4), b=_to(5, 15), c=_to(3, 6), d=_to(3, 7)),
    _template("marbles", "pq", "a + b, r1 × c, r2 - d", a=_to(3, 12), b=_to(3, 12), c=_to(3, 5), d=_to(3, 10)),
    # Four steps.
    _template(
        "shop", "p", "a × b, c × d, r1 + r2, e - r3", a=_to(3, 8), b=_to(3, 8), c=_to(3, 8), d=_to(3, 8), e=(50, 100)
    ),
    _template(
        "baskets",
        "pq",
        "a × b, r1 + c, r2 - d, r3 ÷ e",
        a=_to(3, 6),
        b=_to(5, 12),
        c=_to(4, 12),
        d=_to(3, 6),
        e=_to(3, 6),
    ),
    _template(
        "stops",
        "",
        "a - b, r1 + c, r2 - d, r3 + e",
        a=_to(20, 40, 2),
        b=_to(3, 7),
        c=_to(3, 7),
        d=_to(3, 7),
        e=_to(3, 7),
    ),
    _template(
        "wages",
        "q",
        "a × b, r1 × c, r2 - d, r3 + e",
        a=_to(4, 8),
        b=_to(3, 6),
        c=_to(6, 12),
        d=_to(20, 60, 5),
        e=_to(10, 50, 10),
    ),
    _template(
        "school",
        "",
        "b + c, a × r1, r2 - d, r3 ÷ e",
        a=_to(3, 6),
        b=_to(5, 12),
        c=_to(5, 12),
        d=_to(3, 9),
        e=_to(3, 8),
    ),
    _template("stamps", "pq", "a × b, a + r1, r2 - c, r3 ÷ d", a=_to(5, 24), b=_to(3, 6), c=_to(3, 12), d=_to(3, 8)),
)

TEMPLATES: dict[str, Template] = {template.template_id: template for template in _ALL}

LEVELS = tuple(sorted({template.level for template in _ALL}))
