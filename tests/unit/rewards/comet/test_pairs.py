"""Test how texts that are too long are split, and how the scores of the pieces are combined."""

from collections.abc import Sequence

import numpy as np
import pytest

from languages.facts import LANGUAGES
from rewards.comet.alignment import TextPair
from rewards.comet.feeding import BackFeeding, CometInput, ForwardFeeding
from rewards.comet.pairs import PairScorer, halves, weighted_means
from tests.fakes.comet import ENGLISH, GERMAN, Dictionary, SharedNumbers, a_pair_scorer
from tests.refusals import raised

PAIR = TextPair(english="the cat", native="die Katze", language="de")


def test_a_pair_that_fits_is_scored_whole() -> None:
    metric = SharedNumbers()
    assert a_pair_scorer(metric).score([TextPair(english="It is 5.", native="Es ist 5.", language="de")]).tolist() == [
        1.0
    ]
    assert len(metric.scored) == 1


def test_a_pair_that_is_too_long_is_split_between_aligned_sentences_and_averaged_by_length() -> None:
    metric = SharedNumbers(limit=4)
    english = "It is 5. That is 7."
    native = "Es ist 5. Dann ist 8."  # the second sentence is wrong
    found = a_pair_scorer(metric).score([TextPair(english=english, native=native, language="de")])
    assert [one.source for one in metric.scored] == ["It is 5.", "That is 7."]
    right, wrong = len("It is 5.") + len("Es ist 5.") / 1.1, len("That is 7.") + len("Dann ist 8.") / 1.1
    assert found.tolist() == pytest.approx([right / (right + wrong)])


def test_halves_hold_whole_sentences_with_one_space_between_them() -> None:
    english = ["It is 1.", "It is 2.", "It is 3.", "It is 4."]
    native = ["Es ist 1.", "Es ist 2.", "Es ist 3.", "Es ist 4."]
    found = halves(TextPair(english=" ".join(english), native=" ".join(native), language="de"))
    assert [(pair.english, pair.native) for pair in found] == [
        ("It is 1. It is 2.", "Es ist 1. Es ist 2."),
        ("It is 3. It is 4.", "Es ist 3. Es ist 4."),
    ]


def test_two_aligned_sentences_of_different_length_are_cut_between_them() -> None:
    short, long = (
        ("It is 5.", "Es ist 5."),
        ("That is a very much longer one of 7.", "Das ist ein viel längerer von 7."),
    )
    pair = TextPair(english=f"{short[0]} {long[0]}", native=f"{short[1]} {long[1]}", language="de")
    assert [(half.english, half.native) for half in halves(pair)] == [short, long]


def test_an_owner_without_values_has_no_mean() -> None:
    means = weighted_means(np.array([1.0, 0.0]), np.array([1.0, 3.0]), np.array([2, 2]))
    assert means.dtype == np.float64
    assert np.isnan(means).tolist() == [True, True, False]
    assert means[2] == 0.25
    assert weighted_means(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("a bcdefgh ijklm", "a bcdefgh", "ijklm"),  # the space behind the middle is nearer
        ("abcde fghijkl m", "abcde", "fghijkl m"),  # the space before it is nearer
        ("abcdef", "abc", "def"),  # there is no space
    ],
)
def test_one_sentence_is_cut_at_the_space_next_to_its_middle(text: str, left: str, right: str) -> None:
    found = halves(TextPair(english=text, native=text, language="de"))
    assert [pair.english for pair in found] == [pair.native for pair in found] == [left, right]


def test_nothing_of_a_long_text_is_lost() -> None:
    metric = SharedNumbers(limit=30)
    words = [f"w{place}" for place in range(500)]
    a_pair_scorer(metric).score([TextPair(english="One sentence.", native=" ".join(words), language="de")])
    read = [word for one in metric.scored for word in one.translation.split() if word.startswith("w")]
    assert sorted(read) == sorted(words)


def test_an_unrelated_tail_past_the_limit_costs() -> None:
    english, native = " ".join(ENGLISH), " ".join(GERMAN)
    tail = " Es war einmal im Jahr 1900 ein König." * 40
    faithful, padded = a_pair_scorer(SharedNumbers(limit=40)).score(
        [
            TextPair(english=english, native=native, language="de"),
            TextPair(english=english, native=native + tail, language="de"),
        ]
    )
    assert faithful == 1.0
    assert padded < 0.5


def test_an_empty_side_is_scored_as_something_unrelated_and_two_empty_ones_not_at_all() -> None:
    metric = SharedNumbers()
    found = a_pair_scorer(metric).score(
        [
            TextPair(english="It is 5.", native="", language="de"),
            TextPair(english="", native=" ", language="de"),
        ]
    )
    assert found[0] == 0.0
    assert np.isnan(found[1])
    assert metric.scored == [CometInput(source="It is 5.", translation=LANGUAGES["de"].instruction)]


class Silent(Dictionary):
    """Return no translation for a text with a dog."""

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        return ["" if "Hund" in text else text for text in texts]


def test_a_text_that_the_translator_left_out_has_no_score_and_spoils_no_other() -> None:
    dog = TextPair(english="the dog", native="der Hund", language="de")
    metric = SharedNumbers()
    metric.needs_reference = True
    scores = PairScorer(metric, BackFeeding(Silent())).score([PAIR, dog, PAIR])
    assert np.isnan(scores).tolist() == [False, True, False]
    assert np.isnan(PairScorer(metric, BackFeeding(Silent())).score([dog])).all()


def test_a_pair_whose_reference_is_empty_has_no_score_where_the_metric_needs_one() -> None:
    class Mute(Dictionary):
        def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
            return [""] * len(texts)

    metric = SharedNumbers()
    feeding = ForwardFeeding(Mute())
    assert PairScorer(metric, feeding).score([PAIR]).tolist() == [1.0]
    metric.needs_reference = True
    assert np.isnan(PairScorer(metric, feeding).score([PAIR])).all()


def test_a_metric_that_can_read_nothing_is_an_error_and_no_endless_loop() -> None:
    with raised(ValueError, "comet.encoder"):
        a_pair_scorer(SharedNumbers(limit=0)).score([TextPair(english="It is 5.", native="Es ist 5.", language="de")])
