"""Test cutting texts at sentence boundaries: nothing is lost, nothing is too long."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.texts.chunks import Chunk, cut_sentences, cut_text, split_sentences
from tests.refusals import raised

COST = 3


def count_characters(texts: Sequence[str]) -> list[int]:
    """Count a token for each character, and three for every text."""
    return [COST + len(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("She has 3.5 kg. He has 2! How many? 5.5.", ["She has 3.5 kg.", "He has 2!", "How many?", "5.5."]),
        ("Er sagt: „Acht.“ Dann neun …\nZehn", ["Er sagt: „Acht.“", "Dann neun …", "Zehn"]),
        ("他有5个球。他又买了6个！一共？", ["他有5个球。", "他又买了6个！", "一共？"]),
        ("彼は「5個。」と言った。", ["彼は「5個。」", "と言った。"]),
        ("তার ৫টি আছে।সে ৬টি কিনেছে। মোট ১১", ["তার ৫টি আছে।", "সে ৬টি কিনেছে।", "মোট ১১"]),
        ("لديه 5 كرات. كم لديه الآن؟ لديه 11", ["لديه 5 كرات.", "كم لديه الآن؟", "لديه 11"]),
        ("అతని వద్ద 5 ఉన్నాయి. మొత్తం 11.", ["అతని వద్ద 5 ఉన్నాయి.", "మొత్తం 11."]),
        ("โรเจอร์มี 5 ลูก\nซื้ออีก 6 ลูก", ["โรเจอร์มี 5 ลูก", "ซื้ออีก 6 ลูก"]),
        (" \n ", []),
    ],
)
def test_sentences_end_where_the_language_ends_them(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_chunks_end_at_sentences_and_have_like_sizes() -> None:
    text = "Aaaaaaaa. Bbbbbbbb. Cccccccc. Dddddddd."
    chunks = cut_text(text, count=count_characters, target=23, limit=30)
    assert [chunk.text for chunk in chunks] == ["Aaaaaaaa. Bbbbbbbb.", "Cccccccc. Dddddddd."]
    assert [chunk.num_tokens for chunk in chunks] == [19, 19]


def test_sentence_over_the_limit_is_cut_between_words_and_a_word_between_characters() -> None:
    chunks = cut_text("aaaa bbbb cccccccccc", count=count_characters, target=8, limit=8)
    assert [chunk.text for chunk in chunks] == ["aaaa", "bbbb", "ccccc", "ccccc"]


def test_a_limit_without_room_for_text_is_refused() -> None:
    with raised(ValueError, " 3 tokens"):
        cut_text("a", count=count_characters, target=3, limit=3)


@settings(deadline=None)
@given(st.text(alphabet="ab1 .。।؟\n\u0e01é", max_size=200), st.integers(4, 30), st.integers(4, 30))
def test_nothing_but_white_space_is_lost_and_no_chunk_is_over_the_limit(text: str, target: int, limit: int) -> None:
    chunks = cut_text(text, count=count_characters, target=min(target, limit), limit=limit)
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())
    assert all(COST + len(chunk.text) <= limit and chunk.text.strip() for chunk in chunks)


def test_tokens_that_grow_when_pieces_are_put_together_do_not_break_the_limit() -> None:
    def count_pairs(texts: Sequence[str]) -> list[int]:
        """Count two tokens for each letter, and one for each text."""
        return [1 + 2 * len(text) for text in texts]

    def count_oddly(texts: Sequence[str]) -> list[int]:
        """Count twice as many tokens for a long text as for its pieces."""
        return [1 + len(text) * (2 if len(text) > 4 else 1) for text in texts]

    for count in (count_pairs, count_oddly):
        chunks = cut_text("aa bb cc dd ee", count=count, target=9, limit=9)
        assert "".join(chunk.text.replace(" ", "") for chunk in chunks) == "aabbccddee"
        assert max(count([chunk.text])[0] for chunk in chunks) <= 9


def test_text_of_a_hundred_thousand_characters_without_a_space_is_cut() -> None:
    chunks = cut_text("ก" * 100_000, count=count_characters, target=503, limit=503)
    assert sum(len(chunk.text) for chunk in chunks) == 100_000
    assert max(len(chunk.text) for chunk in chunks) <= 500


def test_sentences_are_chunks_and_the_number_of_a_step_goes_with_it() -> None:
    text = "1.\nShe has 3.\n2. He has 12 of them.\nSo"
    assert cut_sentences(text, count=count_characters, limit=0) == [
        Chunk("1. She has 3.", 13),
        Chunk("2. He has 12 of them.", 21),
        Chunk("So", 2),
    ]


def test_a_sentence_beyond_the_limit_is_cut_and_the_others_are_not() -> None:
    chunks = cut_sentences("She has 3. He has twelve of them.", count=count_characters, limit=COST + 12)
    assert [chunk.text for chunk in chunks] == ["She has 3.", "He has", "twelve of", "them."]
    assert all(chunk.num_tokens <= 12 for chunk in chunks)


def test_a_text_of_white_space_has_no_chunk() -> None:
    assert cut_sentences(" \n ", count=count_characters, limit=0) == []
