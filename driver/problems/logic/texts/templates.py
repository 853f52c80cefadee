"""Define the logic of the problems: who and what appears, what is told, what follows in each step; without words.

A template's level is its number of deductions. A clause is written "taller a b": a relation, and roles of the template.
"taller/1 a b" says the same in the second way that every language has for it ("b is shorter than a").
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product
from typing import Literal

from contracts.seeds import stable_hash

Sort = Literal["girl", "boy", "object", "container", "room", "club", "skill", "pet", "ware", "story"]

SORTS: Mapping[Sort, int] = {
    "girl": 8,
    "boy": 8,
    "object": 6,
    "container": 4,
    "room": 4,
    "club": 4,
    "skill": 6,
    "pet": 4,
    "ware": 6,
    "story": 5,
}
"""Number of different things of each sort, which every language names."""

RELATIONS: Mapping[str, tuple[tuple[Sort, ...], ...]] = {
    "taller": (("girl",), ("girl",)),
    "earlier": (("boy",), ("boy",)),
    "older": (("boy",), ("boy",)),
    "left": (("girl",), ("girl",)),
    "above": (("boy",), ("boy",)),
    "dearer": (("ware",), ("ware",)),
    "mother": (("girl",), ("girl", "boy")),
    "sister": (("girl",), ("girl",)),
    "grandmother": (("girl",), ("boy",)),
    "aunt": (("girl",), ("boy",)),
    "cousin": (("boy",), ("boy",)),
    "inside": (("object", "container"), ("container", "room")),
    "everyone": (("club",), ("skill",)),
    "whoever": (("skill",), ("skill",)),
    "member": (("girl",), ("club",)),
    "outsider": (("girl",), ("club",)),
    "can": (("girl",), ("skill",)),
    "cannot": (("girl",), ("skill",)),
    "each": (("girl",), ("girl",), ("girl",), ("pet",), ("pet",), ("pet",)),
    "owns": (("girl",), ("pet",)),
    "lacks": (("girl",), ("pet",)),
    "cause": (("story",), ("girl",)),
    "effect": (("story",), ("girl",)),
    "sequel": (("story",), ("girl",)),
    "law": (("story",),),
    "second_law": (("story",),),
}
"""Every relation, with the sorts of its arguments."""

ORDERS = frozenset({"taller", "earlier", "older", "left", "above", "dearer"})
"""Relations with two ways to say the same: from either end."""
SYMMETRIC = frozenset({"cousin"})
"""Relations of which the two arguments may change places."""
STORY_RELATIONS = ("cause", "effect", "sequel", "law", "second_law")
"""Relations whose words are those of a story."""


@dataclass(frozen=True, order=True, slots=True)
class Entity:
    """Name a person or thing: the number within its sort, the same in every language."""

    sort: Sort
    index: int


@dataclass(frozen=True, slots=True)
class Clause:
    """Hold a statement about entities, without words."""

    relation: str
    arguments: tuple[Entity, ...]
    form: int = 0  # which of a language's ways to say it; it does not change the meaning


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one deduction: what it uses and what follows."""

    kind: Literal["deduce", "convert", "explain"]
    premises: tuple[Clause, ...]
    conclusion: Clause


@dataclass(frozen=True, kw_only=True)
class Template:
    """Define one kind of problem."""

    template_id: str
    cast: Mapping[str, Sort]  # by role
    told_first: tuple[str, ...] = ()  # clauses of the question
    told: tuple[str, ...]  # clauses behind them, in an order that is drawn
    told_last: tuple[str, ...] = ()  # clauses behind them, in this order
    asked: tuple[str, ...] = ()  # roles {p}, {q} of the question, in an order that says nothing about the answer
    plan: tuple[str, ...]  # steps: "deduce taller a b, taller b c: taller a c"
    in_order: tuple[str, ...] = ()  # roles that could change places: only one of the two choices is an item

    @property
    def level(self) -> int:
        """Return the number of deductions."""
        return len(self.plan)

    @cached_property
    def space(self) -> tuple[tuple[int, ...], ...]:
        """Return all ways to cast the roles, in a fixed order; no two roles of a sort are the same entity."""
        return tuple(self._castings())

    def _castings(self) -> Iterator[tuple[int, ...]]:
        by_sort: dict[Sort, list[str]] = {}
        for role, sort in self.cast.items():
            by_sort.setdefault(sort, []).append(role)
        choices = [permutations(range(SORTS[sort]), len(roles)) for sort, roles in by_sort.items()]
        roles = [role for grouped in by_sort.values() for role in grouped]
        for chosen in product(*choices):
            cast = dict(zip(roles, (index for indices in chosen for index in indices), strict=True))
            if [cast[role] for role in self.in_order] == sorted(cast[role] for role in self.in_order):
                yield tuple(cast[role] for role in self.cast)

    def entities(self, casting: tuple[int, ...]) -> dict[str, Entity]:
        """Return each role's entity."""
        return {role: Entity(sort, index) for (role, sort), index in zip(self.cast.items(), casting, strict=True)}

    def facts(self, casting: tuple[int, ...]) -> tuple[Clause, ...]:
        """Return what the question tells; the order depends on the casting alone."""
        entities = self.entities(casting)
        orders = tuple(permutations(self.told))
        chosen = orders[stable_hash(f"order/{self.template_id}/{casting}") % len(orders)]
        return tuple(_clause(text, entities) for text in (*self.told_first, *chosen, *self.told_last))

    def steps(self, casting: tuple[int, ...]) -> tuple[Step, ...]:
        """Return the deductions; the last one's conclusion is the answer."""
        return tuple(_step(line, self.entities(casting)) for line in self.plan)


def _step(line: str, entities: Mapping[str, Entity]) -> Step:
    kind, _, rest = line.partition(" ")
    premises, _, conclusion = rest.partition(": ")
    assert kind in ("deduce", "convert", "explain"), f"a plan has a step {kind!r}"
    used = tuple(_clause(text, entities) for text in premises.split(", "))
    return Step(kind=kind, premises=used, conclusion=_clause(conclusion, entities))


def _clause(text: str, entities: Mapping[str, Entity]) -> Clause:
    name, *roles = text.split()
    relation, _, form = name.partition("/")
    arguments = tuple(entities[role] for role in roles)
    if relation == "each":  # a list in alphabetical order, which does not show who has what
        arguments = tuple(sorted(arguments))
    return Clause(relation, arguments, int(form or 0))


def _template(template_id: str, cast: str, /, **parts: str) -> Template:
    """Return a template; its cast is written "a girl, b boy", and lists are parted by "; "."""
    roles = dict(pair.split() for pair in cast.split(", "))
    lists = {name: tuple(text.split("; ")) for name, text in parts.items()}
    return Template(template_id=template_id, cast=roles, **lists)  # pyright: ignore[reportArgumentType]


_ALL = (
    # One deduction.
    _template(
        "height",
        "a girl, b girl, c girl",
        told="taller a b; taller b c",
        asked="a; c",
        plan="deduce taller a b, taller b c: taller a c",
    ),
    _template(
        "arrival",
        "a boy, b boy, c boy",
        told="earlier a b; earlier b c",
        asked="a; c",
        plan="deduce earlier a b, earlier b c: earlier a c",
    ),
    _template(
        "grandmother",
        "a girl, b girl, c boy",
        told="mother a b; mother b c",
        plan="deduce mother a b, mother b c: grandmother a c",
    ),
    _template(
        "aunt",
        "a girl, b girl, c boy",
        told="sister a b; mother b c",
        plan="deduce sister a b, mother b c: aunt a c",
    ),
    _template(
        "place",
        "x object, y container, z room",
        told="inside x y; inside y z",
        plan="deduce inside x y, inside y z: inside x z",
    ),
    _template(
        "club",
        "a girl, k club, s skill",
        told="member a k; everyone k s",
        plan="deduce member a k, everyone k s: can a s",
    ),
    _template(
        "why",
        "a girl, i story, j story",
        told="cause i a; cause j a",
        told_last="effect i a",
        plan="explain law i: cause i a",
    ),
    # Two deductions.
    _template(
        "age",
        "a boy, b boy, c boy, d boy",
        told="older a b; older b c; older c d",
        asked="a; d",
        plan="deduce older a b, older b c: older a c; deduce older a c, older c d: older a d",
    ),
    _template(
        "seats",
        "a girl, b girl, c girl",
        told="left a b; left/1 b c",
        asked="a; c",
        plan="convert left/1 b c: left b c; deduce left a b, left b c: left a c",
    ),
    _template(
        "cousins",
        "a girl, b girl, c boy, d boy",
        told="sister a b; mother a c; mother b d",
        asked="c; d",
        plan="deduce sister a b, mother b d: aunt a d; deduce aunt a d, mother a c: cousin c d",
    ),
    _template(
        "not_in_club",
        "a girl, k club, s skill, t skill",
        told="everyone k s; whoever s t; cannot a t",
        plan="deduce whoever s t, cannot a t: cannot a s; deduce everyone k s, cannot a s: outsider a k",
    ),
    _template(
        "pets",
        "a girl, b girl, c girl, x pet, y pet, z pet",
        told_first="each a b c x y z",
        told="owns a x; lacks b z",
        plan="deduce owns a x, lacks b z: owns b y; deduce owns a x, owns b y: owns c z",
    ),
    _template(
        "first_cause",
        "a girl, i story, j story",
        told="cause i a; cause j a",
        told_last="effect i a; sequel i a",
        plan="explain second_law i: effect i a; explain law i: cause i a",
    ),
    # Three deductions.
    _template(
        "floors",
        "a boy, b boy, c boy, d boy",
        told="above a b; above/1 b c; above c d",
        asked="a; d",
        plan="convert above/1 b c: above b c; deduce above a b, above b c: above a c; "
        "deduce above a c, above c d: above a d",
    ),
    _template(
        "prices",
        "a ware, b ware, c ware, d ware",
        told="dearer/1 a b; dearer b c; dearer c d",
        asked="a; d",
        plan="convert dearer/1 a b: dearer a b; deduce dearer a b, dearer b c: dearer a c; "
        "deduce dearer a c, dearer c d: dearer a d",
    ),
    _template(
        "skills",
        "a girl, k club, s skill, t skill, u skill",
        told="member a k; everyone k s; whoever s t; whoever t u",
        plan="deduce member a k, everyone k s: can a s; deduce can a s, whoever s t: can a t; "
        "deduce can a t, whoever t u: can a u",
    ),
)

TEMPLATES: dict[str, Template] = {template.template_id: template for template in _ALL}

LEVELS = tuple(sorted({template.level for template in _ALL}))
"""A problem's level is its number of deductions."""
