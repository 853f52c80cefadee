"""Test that cleaning removes what cannot be seen and keeps what belongs to a script."""

from rewards.texts.clean import MAX_MARKS, clean


def test_cleaning_takes_out_what_can_not_be_seen() -> None:
    assert clean("a\u034fb\ufe0fc\u3164d\u2800e\U000e0100") == "abcde"
    assert clean("t\u200bh\u00ade\u202e \ud83dx\u200dy\U000e0041\r\nz\u2028") == "the \ufffdxy\nz\n"


def test_cleaning_composes_accents_and_keeps_the_joiners_of_indic_scripts() -> None:
    assert clean("A\u0308pfel") == "Äpfel"
    assert clean("క్యాన్\u200cల") == "క్యాన్\u200cల"
    assert clean("ক্\u200dষ") == "ক্\u200dষ"
    assert clean("字\u200d字ก\u200cก") == "字字กก"


def test_cleaning_cuts_towers_of_accents() -> None:
    cleaned = clean("x" + "\u0301\u0323" * 40_000)
    assert len(cleaned) == 1 + MAX_MARKS


def test_thirty_marks_in_a_row_stay_on_any_character() -> None:
    marks = "\u0316" * 31
    assert clean(f"…{marks}") == f"…{marks[:30]}"
    assert clean(f"x{marks}") == f"x{marks[:30]}"
    assert clean(f"x{marks[:30]}…{marks[:30]}") == f"x{marks[:30]}…{marks[:30]}"
