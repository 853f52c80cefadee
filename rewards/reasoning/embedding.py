"""Reasonings compared by sentence embeddings.

Owns which texts are cut, and how the cosines of their chunks become one value. Pure numpy: the encoder is
rewards/models/encoder.py. Must not know what a value is worth: rewards/calibration.py maps it.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewards.models.ports import Encoder, all_cosines
from rewards.reasoning.similarity import ReasoningPair
from rewards.texts.chunks import Chunk, cut_text, text_cost

NOTHING_SAID = -1.0
"""What an empty reasoning is worth: the least that a cosine can be."""
LEAST_ROOM = 8
"""Fewest tokens of a chunk's own: of less, an embedding says nothing."""

Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Cut:
    """A pair as it is encoded. Without chunks, that text is empty."""

    reasoning: tuple[Chunk, ...]
    reference: tuple[Chunk, ...]
    is_question: bool  # in place of a reasoning


class EmbeddingSimilarity:
    """Cosine of two reasonings, chunk by chunk where one is longer than what is embedded at once.

    The value is the harmonic mean (F1) of precision and recall, as BERTScore (Zhang et al. 2020, arXiv 1904.09675)
    takes them over tokens: each chunk of the reasoning beside its best chunk of the reference, and each of the
    reference beside its best of the reasoning, means weighed by tokens. So both padding and leaving out cost, however
    far behind the encoder's limit they stand. Of two texts that are one chunk each it is their cosine.
    """

    def __init__(self, encoder: Encoder, chunk_tokens: int = 0) -> None:
        """`chunk_tokens`: longest text that is embedded at once, with prefix and special tokens; 0: what the encoder
        reads.

        Raises:
            ValueError: more than the encoder reads, or too few for any text.
        """
        if chunk_tokens and 0 < encoder.max_tokens < chunk_tokens:
            raise ValueError(
                f"chunk_tokens {chunk_tokens} is more than the {encoder.max_tokens} tokens that the encoder reads; "
                "lower reward.reasoning.chunk_tokens, or set it to 0"
            )
        self._encoder = encoder
        self._limit = chunk_tokens or encoder.max_tokens
        least = text_cost(encoder.count_tokens) + LEAST_ROOM
        if 0 < self._limit < least:
            raise ValueError(
                f"chunks of {self._limit} tokens are too small: every text costs {least - LEAST_ROOM}; set "
                f"reward.reasoning.chunk_tokens to at least {least}"
            )

    @property
    def fingerprint(self) -> str:
        """Of the encoder and the limit."""
        parts = f"embedding {self._limit} {self._encoder.fingerprint}"
        return f"embedding-{hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()}"

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """[N] in [-1, 1], in order; -1 for an empty reasoning, NaN for an empty reference or where a vector is not
        finite. A pair whose reasoning is its question is asked for what a question earns: its vector is remembered.
        """
        cuts = self._cut(pairs)
        # Apart, and no reasoning is remembered: which reasonings share a batch, and with it their last digits, then
        # depends on the pairs alone and not on what was scored before.
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
        """Tokens of the chunks of a pair: the longer text in as few as will do, the other in chunks of that size; 0
        where both fit whole."""
        if not self._limit or longest <= self._limit:
            return 0
        return math.ceil(longest / math.ceil(longest / self._limit))

    def _chunks(self, text: str, *, num_tokens: int, size: int) -> tuple[Chunk, ...]:
        if not num_tokens:
            return ()
        if not size:
            return (Chunk(text, num_tokens),)
        return tuple(cut_text(text, count=self._encoder.count_tokens, target=size, limit=self._limit))

    def _encode_references(self, chunked: Sequence[tuple[Chunk, ...]]) -> Vectors:
        """Whole ones together; each that is cut by itself, so that the texts of a batch don't depend on the cache."""
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
    """2PR / (P + R) of cosines [N, M] between N chunks of a reasoning and M of its reference.

    P is the mean over reasoning chunks of the best cosine in the row, R the mean over reference chunks of the best in
    the column, weighed by tokens. The smaller of the two where one is not above 0; NaN where a cosine is.
    """
    precision = float(np.average(cosines.max(axis=1), weights=reasoning_tokens))
    recall = float(np.average(cosines.max(axis=0), weights=reference_tokens))
    if math.isnan(precision) or math.isnan(recall):
        return math.nan
    if min(precision, recall) <= 0:
        return min(precision, recall)
    return 2 * precision * recall / (precision + recall)
