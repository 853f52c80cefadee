"""Compare answers in words, which no exact rule can compare across languages."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewards.models.ports import Encoder, all_cosines


class ExactAnswers:
    """Compare nothing: an answer in words that is not the same text is another answer."""

    def compare(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        """Return 0 for each of the [N] answers: the reward asks only where the texts differ."""
        return np.zeros(len(native))


class EmbeddingAnswers:
    """Compare answers by the cosine of their sentence embeddings.

    A cosine is nearly blind to a changed order ("Maria is taller than Nina", "Nina is taller than Maria");
    `benchmarks.clause_answers` measures how nearly.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def compare(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        """Return the cosines [N] of the responses' answers and the pivot's, in order.

        `english` [N] are the pivot's answers, `native` [N] the responses', in `languages` [N] (ISO 639-1). The value is
        NaN where a vector is not finite.

        Raises:
            ValueError: the three sequences differ in length.
        """
        pairs = list(zip(english, native, languages, strict=True))
        references = self._encode([pivot for pivot, _, _ in pairs], remember=True)
        answers = self._encode([answer for _, answer, _ in pairs], remember=False)
        cosines = [all_cosines(answers[answer][None], references[pivot][None]).item() for pivot, answer, _ in pairs]
        return np.array(cosines, dtype=np.float64)

    def _encode(self, texts: Sequence[str], *, remember: bool) -> dict[str, NDArray[np.float32]]:
        different = list(dict.fromkeys(texts))
        return (
            dict(zip(different, self._encoder.encode(different, remember=remember), strict=True)) if different else {}
        )
