"""Test a corrected set beside its original, on numbers worked by hand."""

from dataclasses import replace

from driver.evaluation.editions import editions
from driver.evaluation.results import Edition
from tests.builders import a_judged_row


def test_the_replaced_items_are_counted_apart() -> None:
    original = [a_judged_row(str(item), "te", is_correct=item == 0, task="mgsm") for item in range(4)]
    corrected = [
        replace(a_judged_row(str(item), "te", is_correct=item < 2), tag="True" if item in (1, 2) else "False")
        for item in range(4)
    ]
    assert editions(original, corrected) == (
        Edition(
            language="te",
            num_items=4,
            num_replaced=2,
            original=0.25,
            corrected=0.5,
            original_replaced=0.0,
            corrected_replaced=0.5,
        ),
    )


def test_languages_and_items_of_one_edition_alone_are_left_out() -> None:
    original = [
        a_judged_row("0", "te", is_correct=True, task="mgsm"),
        a_judged_row("1", "sw", is_correct=True, task="mgsm"),
    ]
    corrected = [
        a_judged_row("0", "te", is_correct=True),
        a_judged_row("0", "ko", is_correct=True),
        a_judged_row("5", "te", is_correct=False),
    ]
    (found,) = editions(original, corrected)
    assert (found.language, found.num_items, found.num_replaced, found.original_replaced) == ("te", 1, 0, None)


def test_without_the_original_there_is_nothing_to_compare() -> None:
    assert editions([], [a_judged_row("0", "te", is_correct=True)]) == ()
