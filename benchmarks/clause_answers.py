"""Measure how well an encoder tells the right clause from its opposite, on answers of the problems of logic.

    python -m benchmarks.clause_answers [ENCODER]

Prints, for each language, the mean cosine of the right clause and of an opposite one with the English answer, and the
share of items in which the right one is ahead.
"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from driver.problems.logic.generate import LogicItem, logic_items
from driver.problems.logic.texts import TEXTS
from driver.problems.logic.texts.templates import ORDERS, SORTS, Clause, Entity
from rewards.models.encoder import SentenceEncoder
from rewards.reasoning.answers import EmbeddingAnswers

NUM_ITEMS, SEED = 96, 3
DENIALS = {"can": "cannot", "outsider": "member"}


def main(model: str = ".cache/models/multilingual-e5-small") -> None:
    """Print one line for each language."""
    encoder = SentenceEncoder(
        model, text_prefix="query: ", batch_size=32, dtype="float32", device="cpu", trust_remote_code=False
    )
    items = list(logic_items(seed=SEED, split="train", num_items=NUM_ITEMS))
    is_order = np.array([item.answer.relation in ORDERS for item in items])
    print("language  right  opposite  right ahead  of orders")
    for language in (code for code in TEXTS if code != "en"):
        right = _cosines(encoder, items, [item.answer for item in items], language)
        wrong = _cosines(encoder, items, [opposite(item.answer) for item in items], language)
        ahead = right > wrong
        shares = f"{ahead.mean():11.0%} {ahead[is_order].mean():10.0%}"
        print(f"{language:8} {right.mean():6.3f} {wrong.mean():9.3f}  {shares}")


def opposite(clause: Clause) -> Clause:
    """Return a clause turned round, denied, or about the next person or thing."""
    first, second = clause.arguments
    if clause.relation in ORDERS:
        return Clause(clause.relation, (second, first))
    if clause.relation in DENIALS:
        return Clause(DENIALS[clause.relation], clause.arguments)
    return Clause(clause.relation, (Entity(first.sort, (first.index + 1) % SORTS[first.sort]), second))


def _cosines(
    encoder: SentenceEncoder, items: Sequence[LogicItem], clauses: Sequence[Clause], language: str
) -> NDArray[np.float64]:
    english = [item.text("en").answer for item in items]
    native = [TEXTS[language].say(clause) for clause in clauses]
    return EmbeddingAnswers(encoder).compare(english, native, [language] * len(native))


if __name__ == "__main__":
    main(*sys.argv[1:])
