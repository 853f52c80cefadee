"""Decide by rule whether every step of a response to a problem of logic is right: for measuring only.

A rule can't read free text. It looks for the clauses that the problems know, anywhere in the reasoning: the right
conclusions must be there, and no clause that is false in the problem.
"""

from collections.abc import Iterator, Set
from itertools import permutations

from driver.problems.logic.checker import means
from driver.problems.logic.generate import LogicItem
from driver.problems.logic.texts import TEXTS
from driver.problems.logic.texts.templates import ORDERS, SYMMETRIC, Clause
from rewards.answers.final import answer_of, declared_answers, split_reasoning
from rewards.texts.clean import clean

DENIALS = {"can": "cannot", "cannot": "can", "member": "outsider", "outsider": "member", "owns": "lacks"}
"""Relations of which one is false of the same arguments where the other is true."""


def is_reasoning_right(response: str, item: LogicItem, language: str) -> bool:
    """Return whether a response declares the right clause, after right conclusions only.

    The conclusion of every step stands in the reasoning, said in one of the ways that the checker knows, and no clause
    that contradicts what was told or concluded: an order turned round, a statement denied, another cause. A conclusion
    that is said in another way counts as missing: the measured share is a lower bound.

    Raises:
        ValueError: the language is unknown.
    """
    text = clean(response)
    declared = declared_answers(text, language)
    if not means(answer_of(declared) or "", item.text(language).answer, language):
        return False
    reasoning, _ = split_reasoning(text, declared, language)
    words = TEXTS[language]
    true = {*item.facts, *(step.conclusion for step in item.steps)}
    return all(words.mentions(reasoning, step.conclusion) for step in item.steps) and not any(
        words.mentions(reasoning, clause) for clause in _false(true)
    )


def _false(true: Set[Clause]) -> Iterator[Clause]:
    """Yield clauses that are false where the given ones are true."""
    for clause in true:
        if clause.relation in ORDERS:
            yield Clause(clause.relation, clause.arguments[::-1])
        elif clause.relation in DENIALS:
            yield Clause(DENIALS[clause.relation], clause.arguments)
    for clause, other in permutations(true, 2):  # a grandmother is no aunt of the same person
        if {clause.relation, other.relation} == {"grandmother", "aunt"} and clause.relation not in SYMMETRIC:
            yield Clause(clause.relation, other.arguments)
