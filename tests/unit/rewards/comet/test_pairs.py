"""What COMET is fed, how texts are aligned and split, and what the pieces are worth together."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from languages.facts import LANGUAGES
from rewards.comet.alignment import TextPair, align
from rewards.comet.feeding import BackFeeding, CometInput, ForwardFeeding, QualityFeeding, SameFeeding, make_feeding
from rewards.comet.pairs import PairScorer
from rewards.comet.similarity import CometAnswers, CometSimilarity
from rewards.reasoning.similarity import ReasoningPair


class Dictionary:
    """A translator that marks what it translates, and counts."""

    fingerprint = "dictionary"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        self.asked += texts
        return [f"{target}({text})" for text in texts]


class SharedNumbers:
    """A metric of at most `limit` words a side: 1 where both sides have the same numbers, else 0."""

    fingerprint = "shared"
    needs_reference = False

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self.scored: list[CometInput] = []

    def fits(self, inputs: Sequence[CometInput]) -> list[bool]:
        return [max(len(one.source.split()), len(one.translation.split())) <= self.limit for one in inputs]

    def score(self, inputs: Sequence[CometInput]) -> NDArray[np.float64]:
        assert all(self.fits(inputs))
        self.scored += inputs
        return np.array([float(numbers(one.source) == numbers(one.translation)) for one in inputs])


def numbers(text: str) -> list[str]:
    return sorted(word.strip(".") for word in text.split() if word.strip(".").isdigit())


def scorer(metric: SharedNumbers) -> PairScorer:
    return PairScorer(metric, QualityFeeding())


PAIR = TextPair(english="the cat", native="die Katze", language="de")


def test_the_four_feedings_put_each_text_in_its_place() -> None:
    assert QualityFeeding().feed([PAIR]) == [CometInput(source="the cat", translation="die Katze")]
    assert SameFeeding().feed([PAIR]) == [
        CometInput(source="the cat", translation="die Katze", reference="the cat"),
    ]
    assert ForwardFeeding(Dictionary()).feed([PAIR]) == [
        CometInput(source="the cat", translation="die Katze", reference="de(the cat)"),
    ]
    assert BackFeeding(Dictionary()).feed([PAIR]) == [
        CometInput(source="die Katze", translation="en(die Katze)", reference="the cat"),
    ]


def test_a_reference_is_translated_once_for_each_text_and_language() -> None:
    translator = Dictionary()
    feeding = ForwardFeeding(translator)
    french = TextPair(english="the cat", native="le chat", language="fr")
    feeding.feed([PAIR, PAIR, french])
    assert feeding.feed([french, PAIR])[0].reference == "fr(the cat)"
    assert translator.asked == ["the cat", "the cat"]


def test_the_cache_of_references_is_bounded() -> None:
    translator = Dictionary()
    feeding = ForwardFeeding(translator, cache_size=1)
    for english in ("a", "b", "a"):
        feeding.feed([TextPair(english=english, native="x", language="de")])
    assert translator.asked == ["a", "b", "a"]


def test_english_is_not_translated_to_english() -> None:
    translator = Dictionary()
    one = TextPair(english="the cat", native="a cat", language="en")
    assert ForwardFeeding(translator).feed([one])[0].reference == "the cat"
    assert BackFeeding(translator).feed([one])[0].translation == "a cat"
    assert translator.asked == []


@pytest.mark.parametrize(
    ("name", "needs_reference", "translator", "key"),
    [
        ("quality", True, None, "comet.feeding"),
        ("same", False, None, "comet.feeding"),
        ("forward", False, Dictionary(), "comet.feeding"),
        ("back", True, None, "[translator]"),
        ("forward", True, None, "[translator]"),
    ],
)
def test_a_feeding_that_the_metric_cant_take_is_refused(
    name: str, needs_reference: bool, translator: Dictionary | None, key: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(key)):
        make_feeding(name, needs_reference=needs_reference, translator=translator)  # pyright: ignore


def test_feedings_are_told_apart_by_their_fingerprint() -> None:
    made = [
        make_feeding("quality", needs_reference=False),
        make_feeding("same", needs_reference=True),
        make_feeding("forward", needs_reference=True, translator=Dictionary()),
        make_feeding("back", needs_reference=True, translator=Dictionary()),
    ]
    assert len({feeding.fingerprint for feeding in made}) == 4


ENGLISH = ["Roger has 5 balls.", "He buys 2 cans of 3 balls each, which is 6 more.", "So he has 5 + 6 = 11 balls."]
GERMAN = ["Roger hat 5 Bälle.", "Er kauft 2 Dosen mit je 3 Bällen, das sind 6 mehr.", "Er hat also 5 + 6 = 11 Bälle."]


def sides(pairs: Sequence[TextPair]) -> list[tuple[str, str]]:
    return [(pair.english, pair.native) for pair in pairs]


def test_sentences_of_a_translation_stand_for_each_other() -> None:
    assert sides(align(ENGLISH, GERMAN, language="de")) == list(zip(ENGLISH, GERMAN, strict=True))


def test_a_step_left_out_stands_alone() -> None:
    assert sides(align(ENGLISH, [GERMAN[0], GERMAN[2]], language="de")) == [
        (ENGLISH[0], GERMAN[0]),
        (ENGLISH[1], ""),
        (ENGLISH[2], GERMAN[2]),
    ]


def test_padding_stands_alone() -> None:
    padding = "Das Wetter war an jenem Tag im Jahr 1987 wirklich sehr angenehm und mild."
    assert sides(align(ENGLISH, [GERMAN[0], padding, *GERMAN[1:]], language="de")) == [
        (ENGLISH[0], GERMAN[0]),
        ("", padding),
        (ENGLISH[1], GERMAN[1]),
        (ENGLISH[2], GERMAN[2]),
    ]


def test_thai_which_marks_no_sentences_is_aligned_by_its_clauses() -> None:
    thai = ["โรเจอร์มีลูกบอล 5 ลูก", "เขาซื้อ 2 กระป๋อง กระป๋องละ 3 ลูก ซึ่งก็คือเพิ่มอีก 6 ลูก", "ดังนั้นเขาจึงมี 5 + 6 = 11 ลูก"]
    found = align(ENGLISH, [" ".join(thai)], language="th")
    assert [pair.english for pair in found] == ENGLISH
    for number, pair in zip(("5", "2", "11"), found, strict=True):
        assert number in pair.native.split()
    assert " ".join(pair.native for pair in found) == " ".join(thai)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab1 .", max_size=8), max_size=9), st.lists(st.text("xyz2 。", max_size=8), max_size=9))
def test_alignment_loses_nothing_and_keeps_the_order(english: list[str], native: list[str]) -> None:
    pairs = align(english, native, language="zh")
    assert "".join("".join(pair.english.split()) for pair in pairs) == "".join(
        "".join(text.split()) for text in english
    )
    assert "".join("".join(pair.native.split()) for pair in pairs) == "".join("".join(text.split()) for text in native)


def test_a_pair_that_fits_is_scored_whole() -> None:
    metric = SharedNumbers()
    assert scorer(metric).score([TextPair(english="It is 5.", native="Es ist 5.", language="de")]).tolist() == [1.0]
    assert len(metric.scored) == 1


def test_a_pair_that_is_too_long_is_split_between_aligned_sentences_and_averaged_by_length() -> None:
    metric = SharedNumbers(limit=4)
    english = "It is 5. That is 7."
    native = "Es ist 5. Dann ist 8."  # the second sentence is wrong
    found = scorer(metric).score([TextPair(english=english, native=native, language="de")])
    assert [one.source for one in metric.scored] == ["It is 5.", "That is 7."]
    right, wrong = len("It is 5.") + len("Es ist 5.") / 1.1, len("That is 7.") + len("Dann ist 8.") / 1.1
    assert found.tolist() == pytest.approx([right / (right + wrong)])


def test_nothing_of_a_long_text_is_lost() -> None:
    metric = SharedNumbers(limit=30)
    words = [f"w{place}" for place in range(500)]
    scorer(metric).score([TextPair(english="One sentence.", native=" ".join(words), language="de")])
    read = [word for one in metric.scored for word in one.translation.split() if word.startswith("w")]
    assert sorted(read) == sorted(words)


def test_an_unrelated_tail_past_the_limit_costs() -> None:
    english, native = " ".join(ENGLISH), " ".join(GERMAN)
    tail = " Es war einmal im Jahr 1900 ein König." * 40
    faithful, padded = scorer(SharedNumbers(limit=40)).score(
        [
            TextPair(english=english, native=native, language="de"),
            TextPair(english=english, native=native + tail, language="de"),
        ]
    )
    assert faithful == 1.0
    assert padded < 0.5


def test_an_empty_side_is_judged_as_something_unrelated_and_two_empty_ones_not_at_all() -> None:
    metric = SharedNumbers()
    found = scorer(metric).score(
        [
            TextPair(english="It is 5.", native="", language="de"),
            TextPair(english="", native=" ", language="de"),
        ]
    )
    assert found[0] == 0.0
    assert np.isnan(found[1])
    assert metric.scored == [CometInput(source="It is 5.", translation=LANGUAGES["de"].instruction)]


class Silent(Dictionary):
    """Translates nothing that speaks of a dog."""

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        return ["" if "Hund" in text else text for text in texts]


def test_a_text_that_the_translator_left_out_has_no_score_and_spoils_no_other() -> None:
    dog = TextPair(english="the dog", native="der Hund", language="de")
    metric = SharedNumbers()
    metric.needs_reference = True
    scores = PairScorer(metric, BackFeeding(Silent())).score([PAIR, dog, PAIR])
    assert np.isnan(scores).tolist() == [False, True, False]
    assert np.isnan(PairScorer(metric, BackFeeding(Silent())).score([dog])).all()


def test_a_metric_that_can_read_nothing_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(ValueError, match=r"comet\.encoder"):
        scorer(SharedNumbers(limit=0)).score([TextPair(english="It is 5.", native="Es ist 5.", language="de")])


def test_answers_are_judged_as_whole_pairs_in_order() -> None:
    answers = CometAnswers(scorer(SharedNumbers()))
    found = answers.compare(["on day 3", "on day 3", ""], ["an Tag 3", "le jour 4", ""], ["de", "fr", "sw"])
    assert found[:2].tolist() == [1.0, 0.0]
    assert np.isnan(found[2])


def reasoning(native: Sequence[str], *, reference: Sequence[str] = ENGLISH) -> ReasoningPair:
    return ReasoningPair(language="de", reasoning=" ".join(native), reference=" ".join(reference))


def test_a_reasoning_is_judged_segment_by_segment_and_omissions_and_padding_cost() -> None:
    padding = "Das Wetter war an jenem Tag im Jahr 1987 wirklich sehr angenehm und mild."
    found = CometSimilarity(scorer(SharedNumbers())).similarities(
        [
            reasoning(GERMAN),
            reasoning([GERMAN[0], GERMAN[2]]),
            reasoning([GERMAN[0], padding, *GERMAN[1:]]),
            reasoning([]),
            reasoning(GERMAN, reference=[]),
        ]
    )
    assert found[0] == 1.0
    whole = sum(map(len, ENGLISH)) + sum(map(len, GERMAN)) / 1.1
    assert found[1] == pytest.approx(1 - len(ENGLISH[1]) / (whole - len(GERMAN[1]) / 1.1))
    assert found[2] == pytest.approx(whole / (whole + len(padding) / 1.1))
    assert found[3] == 0.0
    assert np.isnan(found[4])


def test_no_pairs_give_no_values() -> None:
    assert CometSimilarity(scorer(SharedNumbers())).similarities([]).shape == (0,)
