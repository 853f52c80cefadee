"""Compare reasonings by the cosines of sentence embeddings.

Decides which texts are cut into chunks and how the cosines of the chunks become one value. Pure numpy: the encoder is
passed in. What a value is worth is decided by the calibration.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewards.models.ports import Encoder, all_cosines
from rewards.reasoning.similarity import ReasoningPair
from rewards.texts.chunks import Chunk, cut_sentences, cut_text, text_cost

NOTHING_SAID = -1.0
"""Value of an empty reasoning: the least that a cosine can be."""
MIN_CHUNK_TOKENS = 8
"""Fewest tokens of a chunk beside prefix and special tokens: an embedding of less says nothing."""

Unit = Literal["sentence", "text"]
Vectors = dict[str, NDArray[np.float32]]
"""Text -> its vector [D]."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """Hold a pair as it is encoded. A text without chunks is empty."""

    reasoning: tuple[Chunk, ...]
    reference: tuple[Chunk, ...]
    is_question: bool  # the question takes the place of the reasoning


class EmbeddingSimilarity:
    """Compute how similar two reasonings are from the cosines of their chunks.

    A chunk is a sentence, or with the unit "text" the whole text, cut where it is too long to be embedded at once.
        The value is the harmonic mean (F1) of precision and recall, as BERTScore (Zhang et al. 2020, arXiv 1904.09675)
    takes them over tokens. Precision compares each chunk of the reasoning with its best chunk of the reference, recall
    each chunk of the reference with its best chunk of the reasoning; both means are weighted by tokens. So padding and
    leaving out both cost, however far beyond the encoder's limit they are. For two texts of one chunk each the value is
    their cosine.
    """

    def __init__(self, encoder: Encoder, chunk_tokens: int | None = None, *, unit: Unit = "text") -> None:
        """Compare with `encoder`, which embeds at most `chunk_tokens` at once.

        `chunk_tokens` counts prefix and special tokens too; None is the most that the encoder reads.

        Raises:
            ValueError: `chunk_tokens` is more than the encoder reads, or too few for any text.
        """
        if chunk_tokens is not None and 0 < encoder.max_tokens < chunk_tokens:
            raise ValueError(
                f"chunk_tokens {chunk_tokens} is more than the {encoder.max_tokens} tokens that the encoder reads; "
                'lower reward.reasoning.chunk_tokens, or set it to "auto"'
            )
        self._encoder = encoder
        self._limit = chunk_tokens or encoder.max_tokens
        self._unit: Unit = unit
        least = text_cost(encoder.count_tokens) + MIN_CHUNK_TOKENS
        if 0 < self._limit < least:
            raise ValueError(
                f"chunks of {self._limit} tokens are too small: every text costs {least - MIN_CHUNK_TOKENS}; set "
                f"reward.reasoning.chunk_tokens to at least {least}"
            )

    @property
    def fingerprint(self) -> str:
        """Return a digest of the encoder's fingerprint and the limit of a chunk."""
        parts = f"embedding {self._unit} {self._limit} {self._encoder.fingerprint}"
        return f"embedding-{hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()}"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """Return the values [N] in [-1, 1], in order.

        An empty reasoning has -1. The value is NaN for an empty reference and where a vector is not finite. A pair
        whose reasoning is its question asks what the question earns: the vector of such a question is remembered.

        Raises:
            ValueError: the encoder returns another number of vectors than it was given texts.
        """
        cuts = self._cut(pairs)
        # References, questions and reasonings are encoded apart, and no reasoning is remembered. Which reasonings share
        # a batch, and with it their last digits, then depends on the pairs alone and not on what was scored before.
        references = self._encode_references([cut.reference for cut in cuts])
        questions = self._encode([cut.reasoning for cut in cuts if cut.is_question], remember=True)
        reasonings = self._encode([cut.reasoning for cut in cuts if not cut.is_question], remember=False)
        return np.array(
            [_value(cut, questions if cut.is_question else reasonings, references) for cut in cuts], dtype=np.float64
        )

    def _cut(self, pairs: Sequence[ReasoningPair]) -> list[_Cut]:
        texts = list(dict.fromkeys(text for pair in pairs for text in (pair.reference, pair.reasoning) if text.strip()))
        lengths = dict(zip(texts, self._encoder.count_tokens(texts), strict=True)) if texts else {}
        cut: dict[tuple[str, int], tuple[Chunk, ...]] = {}
        result: list[_Cut] = []
        for pair in pairs:
            size = self._chunk_size(max(lengths.get(text, 0) for text in (pair.reasoning, pair.reference)))
            for text in (pair.reasoning, pair.reference):
                if (text, size) not in cut:
                    cut[text, size] = self._chunks(text, num_tokens=lengths.get(text, 0), size=size)
            result.append(
                _Cut(cut[pair.reasoning, size], cut[pair.reference, size], pair.reasoning == pair.question != "")
            )
        return result

    def _chunk_size(self, longest: int) -> int:
        """Return the size of a pair's chunks in tokens; 0 where both texts fit whole.

        The longer text is cut into as few chunks as possible, the other one into chunks of the same size.
        """
        if self._unit == "sentence" or not self._limit or longest <= self._limit:
            return 0
        return math.ceil(longest / math.ceil(longest / self._limit))

    def _chunks(self, text: str, *, num_tokens: int, size: int) -> tuple[Chunk, ...]:
        if not num_tokens:
            return ()
        if self._unit == "sentence":
            return tuple(cut_sentences(text, count=self._encoder.count_tokens, limit=self._limit))
        if not size:
            return (Chunk(text, num_tokens),)
        return tuple(cut_text(text, count=self._encoder.count_tokens, target=size, limit=self._limit))

    def _encode_references(self, chunked: Sequence[tuple[Chunk, ...]]) -> Vectors:
        """Encode whole references together and each cut one by itself.

        The texts of a batch then don't depend on what the cache holds.
        """
        vectors = self._encode([chunks for chunks in chunked if len(chunks) == 1], remember=True)
        for chunks in dict.fromkeys(chunks for chunks in chunked if len(chunks) > 1):
            vectors |= self._encode([chunks], remember=True)
        return vectors

    def _encode(self, chunked: Sequence[tuple[Chunk, ...]], *, remember: bool) -> Vectors:
        texts = list(dict.fromkeys(chunk.text for chunks in chunked for chunk in chunks))
        if not texts:
            return {}
        vectors = self._encoder.encode(texts, remember=remember)
        if len(vectors) != len(texts):
            raise ValueError(f"the encoder gave {len(vectors)} vectors for {len(texts)} texts")
        return dict(zip(texts, vectors, strict=True))


def _value(cut: _Cut, reasonings: Vectors, references: Vectors) -> float:
    """Return the similarity of one pair from the vectors of its chunks."""
    if not cut.reference:
        return math.nan
    if not cut.reasoning:
        return NOTHING_SAID
    cosines = all_cosines(
        np.stack([reasonings[chunk.text] for chunk in cut.reasoning]),
        np.stack([references[chunk.text] for chunk in cut.reference]),
    )
    return coverage_f1(
        cosines,
        reasoning_tokens=[chunk.num_tokens for chunk in cut.reasoning],
        reference_tokens=[chunk.num_tokens for chunk in cut.reference],
    )


def coverage_f1(
    cosines: NDArray[np.float64], *, reasoning_tokens: Sequence[int], reference_tokens: Sequence[int]
) -> float:
    """Return F1 = 2PR / (P + R) of the cosines [N, M] between N chunks of a reasoning and M chunks of its reference.

    P is the mean over the reasoning's chunks of the best cosine in the row, weighted by `reasoning_tokens` [N]. R is
    the mean over the reference's chunks of the best cosine in the column, weighted by `reference_tokens` [M]. Where P
    or R is not above 0, the smaller of the two is returned; where a cosine is NaN, NaN.
    """
    precision = float(np.average(cosines.max(axis=1), weights=reasoning_tokens))
    recall = float(np.average(cosines.max(axis=0), weights=reference_tokens))
    if math.isnan(precision) or math.isnan(recall):
        return math.nan
    if min(precision, recall) <= 0:
        return min(precision, recall)
    return 2 * precision * recall / (precision + recall)
