"""Test what COMET gets of an English text and a response, in each of the four ways."""

import pytest

from rewards.comet.alignment import TextPair
from rewards.comet.feeding import BackFeeding, CometInput, ForwardFeeding, QualityFeeding, SameFeeding, make_feeding
from tests.fakes.comet import Dictionary
from tests.refusals import raised

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
def test_a_feeding_that_the_metric_cannot_use_is_refused(
    name: str, needs_reference: bool, translator: Dictionary | None, key: str
) -> None:
    with raised(ValueError, key, name):
        make_feeding(name, needs_reference=needs_reference, translator=translator)  # pyright: ignore


def test_feedings_are_told_apart_by_their_fingerprint() -> None:
    made = [
        make_feeding("quality", needs_reference=False),
        make_feeding("same", needs_reference=True),
        make_feeding("forward", needs_reference=True, translator=Dictionary()),
        make_feeding("back", needs_reference=True, translator=Dictionary()),
    ]
    assert len({feeding.fingerprint for feeding in made}) == 4


@pytest.mark.parametrize("feeding", [ForwardFeeding, BackFeeding])
def test_the_fingerprint_of_a_feeding_changes_with_its_translator(
    feeding: type[ForwardFeeding] | type[BackFeeding],
) -> None:
    other = Dictionary()
    other.fingerprint = "other"
    assert feeding(Dictionary()).fingerprint != feeding(other).fingerprint
