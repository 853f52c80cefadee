"""Test how answers in words are compared: by their embeddings, or not at all."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.rollouts import Score
from rewards.reasoning.answers import EmbeddingAnswers, ExactAnswers
from rewards.reward import TextAnswers
from tests.models.semantic_reward import a_reward, only, request

ENGLISH, RIGHT, OTHER = "Maria is taller than Nina", "Nina ist kleiner als Maria", "Nina ist groß"
VECTORS = {ENGLISH: (1.0, 0.0), RIGHT: (0.8, 0.6), OTHER: (0.0, 1.0), "": (np.nan, np.nan)}


class Encoder:
    """Look vectors up."""

    fingerprint = "plane"
    max_tokens = 0

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [1] * len(texts)

    def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        return np.array([VECTORS[text] for text in texts], dtype=np.float32)


def test_answers_are_compared_by_the_cosine_of_their_embeddings() -> None:
    answers = EmbeddingAnswers(Encoder())
    values = answers.compare([ENGLISH] * 3, [RIGHT, OTHER, RIGHT], ["de"] * 3)
    assert values.tolist() == pytest.approx([0.8, 0.0, 0.8])
    assert np.isnan(answers.compare([ENGLISH], [""], ["de"])).all()
    assert answers.compare([], [], []).tolist() == []


@pytest.mark.parametrize(
    ("answers", "closing", "part"),
    [
        (EmbeddingAnswers(Encoder()), RIGHT, 0.8),
        (EmbeddingAnswers(Encoder()), OTHER, 0.0),
        (ExactAnswers(), RIGHT, 0.0),
        (ExactAnswers(), ENGLISH, 1.0),
    ],
)
def test_a_group_with_an_answer_in_words_is_scored(answers: TextAnswers, closing: str, part: float) -> None:
    reference = f"Maria is tall and Nina is short. The answer is: {ENGLISH}."
    response = f"Maria ist groß und Nina ist klein. Die Antwort lautet: {closing}."
    score = only(a_reward(text_answers=answers), request(response, reference=reference))
    assert isinstance(score, Score)
    assert score.parts["answer"] == pytest.approx(part)
