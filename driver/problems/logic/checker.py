"""Decide by rule whether an answer in words means the right thing: for measuring only, no reward reads it.

Every language lists the ways in which it says a clause. An answer is right if the whole of it is one of them, so a
negation, a changed order or another name is never taken for the right clause. What is missing from the lists counts as
wrong: the measured accuracy is a lower bound.
"""

from collections.abc import Iterator
from functools import cache
from itertools import permutations, product

from driver.problems.logic.texts import TEXTS
from driver.problems.logic.texts.templates import RELATIONS, SORTS, SYMMETRIC, TEMPLATES, Clause, Entity

ANSWERS = tuple(dict.fromkeys(line.rpartition(": ")[2].split()[0] for line in (t.plan[-1] for t in TEMPLATES.values())))
"""Relations of which the clauses may be answers."""


def means(answer: str, gold: str, language: str) -> bool:
    """Return whether an answer in a language means what the gold answer says, a clause as the problems word it.

    Raises:
        KeyError: the gold answer is no clause of the problems.
    """
    clause = _clauses(language)[gold]
    return any(TEXTS[language].says(answer, same) for same in _same(clause))


@cache
def _clauses(language: str) -> dict[str, Clause]:
    """Return every clause that may be an answer by its words."""
    return {TEXTS[language].say(clause): clause for clause in _possible()}


def _possible() -> Iterator[Clause]:
    for relation in ANSWERS:
        for sorts in product(*RELATIONS[relation]):
            for indices in product(*(range(SORTS[sort]) for sort in sorts)):
                entities = tuple(Entity(sort, index) for sort, index in zip(sorts, indices, strict=True))
                if len(set(entities)) == len(entities):
                    yield Clause(relation, entities)


def _same(clause: Clause) -> Iterator[Clause]:
    """Yield the clauses that mean the same: of a symmetric relation, both orders."""
    if clause.relation in SYMMETRIC:
        yield from (Clause(clause.relation, arguments) for arguments in permutations(clause.arguments))
    else:
        yield clause
