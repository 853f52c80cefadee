"""Test how reasonings are compared by embeddings, with encoders whose vectors are known."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rewards.reasoning.embedding import NOTHING_SAID, EmbeddingSimilarity, coverage_f1
from rewards.reasoning.similarity import ReasoningPair
from tests.refusals import raised


class TableEncoder:
    """Return vectors by text, count a token a word and one for each text, and record the calls."""

    def __init__(
        self, vectors: Mapping[str, tuple[float, ...]], *, max_tokens: int = 0, fingerprint: str = "table"
    ) -> None:
        self._vectors = vectors
        self.max_tokens = max_tokens
        self.fingerprint = fingerprint
        self.calls: list[tuple[tuple[str, ...], bool]] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [1 + len(text.split()) for text in texts]

    def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        self.calls.append((tuple(texts), remember))
        return np.array([self._vectors[text] for text in texts], dtype=np.float32)


def pair(reasoning: str, reference: str, question: str = "Wie viele?") -> ReasoningPair:
    return ReasoningPair(language="de", reasoning=reasoning, reference=reference, question=question)


def test_whole_texts_are_worth_their_cosine_each_with_its_own_reference() -> None:
    encoder = TableEncoder({"a": (1.0, 0.0), "b": (0.0, 1.0), "x": (0.6, 0.8)})
    values = EmbeddingSimilarity(encoder).similarities([pair("x", "a"), pair("x", "b"), pair("a", "b")])
    assert values == pytest.approx([0.6, 0.8, 0.0])


def test_group_of_eight_costs_its_distinct_texts_and_its_reference_once() -> None:
    texts = [f"response {number % 7}" for number in range(8)]
    encoder = TableEncoder(dict.fromkeys([*texts, "reference"], (1.0, 0.0)))
    EmbeddingSimilarity(encoder).similarities([pair(text, "reference") for text in texts])
    assert encoder.calls == [(("reference",), True), (tuple(texts[:7]), False)]


def test_question_alone_is_remembered_and_apart_from_reasonings() -> None:
    encoder = TableEncoder({"q": (1.0, 0.0), "r": (0.8, 0.6), "ref": (1.0, 0.0)})
    values = EmbeddingSimilarity(encoder).similarities([pair("q", "ref", question="q"), pair("r", "ref", question="q")])
    assert values == pytest.approx([1.0, 0.8])
    assert encoder.calls == [(("ref",), True), (("q",), True), (("r",), False)]


def test_empty_reasoning_is_worth_the_least_and_an_empty_reference_nothing_known() -> None:
    values = EmbeddingSimilarity(TableEncoder({"a": (1.0, 0.0)})).similarities(
        [pair(" \n", "a"), pair("a", ""), pair("", "")]
    )
    assert values[0] == NOTHING_SAID == -1.0
    assert math.isnan(values[1]) and math.isnan(values[2])


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_vector_that_is_not_finite_spoils_its_own_pair_only(broken: float) -> None:
    encoder = TableEncoder({"bad": (broken, 0.0), "good": (0.6, 0.8), "ref": (1.0, 0.0)})
    values = EmbeddingSimilarity(encoder).similarities([pair("bad", "ref"), pair("good", "ref"), pair("good", "bad")])
    assert values[1] == pytest.approx(0.6)
    assert math.isnan(values[0]) and math.isnan(values[2])


def test_no_pairs_are_no_values() -> None:
    encoder = TableEncoder({})
    assert EmbeddingSimilarity(encoder).similarities([]).shape == (0,)
    assert encoder.calls == []


FIRST, SECOND, PADDING = "eins zwei drei.", "vier fünf sechs.", "bla bla bla."
ONE, TWO = "one two three.", "four five six."
VECTORS = {
    FIRST: (1.0, 0.0, 0.0),
    ONE: (1.0, 0.0, 0.0),
    SECOND: (0.0, 1.0, 0.0),
    TWO: (0.0, 1.0, 0.0),
    PADDING: (0.0, 0.0, 1.0),
}


def test_padding_past_the_limit_and_steps_left_out_both_cost() -> None:
    """Chunks of three words weigh the same. Padding: precision 2/3, recall 1. Left out: precision 1, recall 1/2."""
    encoder = TableEncoder(VECTORS, max_tokens=0)
    vectors = {chunk: encoder.encode([chunk]) for chunk in VECTORS}

    def value(reasoning: Sequence[str], reference: Sequence[str]) -> float:
        cosines = np.concatenate([vectors[chunk] for chunk in reasoning]).astype(np.float64) @ (
            np.concatenate([vectors[chunk] for chunk in reference]).astype(np.float64).T
        )
        return coverage_f1(cosines, reasoning_tokens=[3] * len(reasoning), reference_tokens=[3] * len(reference))

    assert value([FIRST, SECOND], [ONE, TWO]) == pytest.approx(1.0)
    assert value([FIRST, SECOND, PADDING], [ONE, TWO]) == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert value([FIRST], [ONE, TWO]) == pytest.approx(2 * 0.5 / 1.5)


def test_long_texts_are_cut_and_compared_chunk_by_chunk() -> None:
    """A limit of nine tokens holds eight words; seventeen words make three chunks of like size on both sides."""
    german = [f"{word} " * 5 + f"{word}." for word in ("eins", "zwei", "drei")]
    english = [f"{word} " * 5 + f"{word}." for word in ("one", "two", "three")]
    axes = np.eye(3).tolist()
    vectors = {text: tuple(axis) for texts in (german, english) for text, axis in zip(texts, axes, strict=True)}
    similarity = EmbeddingSimilarity(TableEncoder(vectors, max_tokens=9))
    whole = similarity.similarities([pair(" ".join(german), " ".join(english))])
    assert whole == pytest.approx([1.0])
    lacking = similarity.similarities([pair(" ".join(german[:2]), " ".join(english))])
    assert lacking == pytest.approx([2 * (2 / 3) / (2 / 3 + 1)])


def test_chunks_weigh_by_their_length() -> None:
    cosines = np.array([[1.0], [0.5]])
    precision = (3 * 1.0 + 1 * 0.5) / 4
    assert coverage_f1(cosines, reasoning_tokens=[3, 1], reference_tokens=[9]) == pytest.approx(
        2 * precision / (precision + 1)
    )


def test_opposite_texts_are_worth_less_than_unrelated_ones() -> None:
    assert coverage_f1(np.array([[-0.5]]), reasoning_tokens=[1], reference_tokens=[1]) == -0.5
    assert coverage_f1(np.array([[0.0]]), reasoning_tokens=[1], reference_tokens=[1]) == 0.0


def test_fingerprint_changes_with_encoder_and_chunk_size() -> None:
    encoder = TableEncoder({}, max_tokens=512)
    prints = {
        EmbeddingSimilarity(encoder).fingerprint,
        EmbeddingSimilarity(encoder, chunk_tokens=256).fingerprint,
        EmbeddingSimilarity(TableEncoder({}, max_tokens=512, fingerprint="other")).fingerprint,
    }
    assert len(prints) == 3
    assert EmbeddingSimilarity(encoder, chunk_tokens=512).fingerprint == EmbeddingSimilarity(encoder).fingerprint


@pytest.mark.parametrize(("chunk_tokens", "limit"), [(513, 512), (5, 9), (8, 9)])
def test_a_chunk_size_that_cannot_work_is_refused_with_the_limit(chunk_tokens: int, limit: int) -> None:
    with raised(ValueError, "reward.reasoning.chunk_tokens", f" {limit}"):
        EmbeddingSimilarity(TableEncoder({}, max_tokens=512), chunk_tokens=chunk_tokens)


def test_the_smallest_chunk_has_eight_tokens_beside_what_every_text_costs() -> None:
    assert EmbeddingSimilarity(TableEncoder({}, max_tokens=512), chunk_tokens=9).fingerprint


def test_encoder_that_loses_a_text_is_an_error() -> None:
    class Forgetful(TableEncoder):
        def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
            return super().encode(texts, remember=remember)[1:]

    with raised(ValueError, " 0 ", " 1 "):
        EmbeddingSimilarity(Forgetful({"a": (1.0,)})).similarities([pair("a", "a")])


def test_encoder_that_counts_another_number_of_texts_is_an_error() -> None:
    class Forgetful(TableEncoder):
        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            return super().count_tokens(texts)[:1]

    with pytest.raises(ValueError):
        EmbeddingSimilarity(Forgetful({"a": (1.0,), "b": (1.0,)})).similarities([pair("a", "b")])


def test_the_longer_text_is_cut_into_as_few_chunks_of_like_size_as_fit() -> None:
    # Twelve sentences of two words each: 25 tokens with the one that every text costs. Twelve fit, so three chunks.
    german, english = ([f"{word}{index} ist." for index in range(12)] for word in ("a", "b"))
    chunks = [" ".join(texts[start : start + 4]) for texts in (german, english) for start in (0, 4, 8)]
    encoder = TableEncoder(dict.fromkeys(chunks, (1.0, 0.0)), max_tokens=12)
    assert EmbeddingSimilarity(encoder).similarities([pair(" ".join(german), " ".join(english))]) == pytest.approx([1])
    assert [texts for texts, _ in encoder.calls] == [tuple(chunks[3:]), tuple(chunks[:3])]


def test_sentences_are_compared_each_with_the_closest_one_of_the_other_text() -> None:
    """Precision: a fits A (1.0, weight 1), b fits B (0.8, weight 2). Recall is the same; "c" is left out and costs."""
    encoder = TableEncoder(
        {
            "aaaa.": (1.0, 0.0, 0.0),
            "bbbb bb.": (0.0, 0.8, 0.6),
            "AAAA.": (1.0, 0.0, 0.0),
            "BBBB BB.": (0.0, 1.0, 0.0),
            "CCCC.": (0.0, 0.0, 1.0),
        }
    )
    similarity = EmbeddingSimilarity(encoder, unit="sentence")
    whole, partial = similarity.similarities([pair("aaaa. bbbb bb.", "BBBB BB. AAAA."), pair("aaaa.", "AAAA. CCCC.")])
    assert whole == pytest.approx((1 * 1.0 + 2 * 0.8) / 3)
    assert partial == pytest.approx(2 * 1.0 * 0.5 / (1.0 + 0.5))


def test_the_unit_is_part_of_the_fingerprint() -> None:
    encoder = TableEncoder({})
    units = [EmbeddingSimilarity(encoder, unit=unit).fingerprint for unit in ("sentence", "text")]
    assert len(set(units)) == 2
