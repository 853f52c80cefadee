"""Test the cheats of the audit: each does what it says in every language, and nothing else to the text."""

import re
from random import Random

import pytest

from contracts.errors import BadInput
from contracts.rollouts import ParallelSolution
from driver.audit.cheats import CHEATS, LONG_CHARACTERS, LONG_HAN_CHARACTERS, LOOPS
from driver.audit.faithful import answer_as_written, halves, take_apart, with_numbers_changed, with_other_answer
from driver.audit.groups import (
    FAITHFUL,
    CheatGroup,
    cheat_groups,
    corruption_series,
    question_request,
    questions_of,
)
from driver.audit.surface_forms import FLOOD, FLOODS, SURFACE_FORMS
from driver.problems.builtin.generate import builtin_items
from driver.problems.builtin.texts import TEXTS
from languages.facts import LANGUAGES
from rewards.answers.final import declared_answers, final_answer
from rewards.gates.gates import build_gates
from rewards.reading import read_group
from rewards.texts.clean import clean

ENGLISH_IS_FAITHFUL = (
    "english",
    "english reasoning",
    "english closing",
    "disguised english",
    "hidden english",
    "code-mixing",
)


def solution(language: str, text: str, english: str, *, item: str = "a") -> ParallelSolution:
    return ParallelSolution(
        item_id=item,
        language=language,
        question=f"Frage {item}?",
        solution=text,
        question_en=f"Question {item}?",
        solution_en=english,
    )


APPLES = solution(
    "de",
    "Anna hat 3 + 4 = 7 Äpfel.\nSie isst 2, es bleiben 7 - 2 = 5.\nDie Antwort lautet 5.",
    "Anna has 3 + 4 = 7 apples.\nShe eats 2, so 7 - 2 = 5 are left.\nThe answer is 5.",
)
PEARS = solution("de", "Ole hat 6 Birnen.\nDie Antwort lautet 6.", "Ole has 6 pears.\nThe answer is 6.", item="b")
SPANISH = solution("es", "Ana tiene 5 manzanas.\nLa respuesta es 5.", APPLES.solution_en)
SWAHILI = solution("sw", "Anna ana matofaa 5.\nJibu ni 5.", APPLES.solution_en)


def responses(group: CheatGroup) -> dict[str, str]:
    return dict(zip(group.names, group.request.responses, strict=True))


@pytest.fixture(scope="module")
def everywhere() -> list[CheatGroup]:
    """Return four built-in items in all languages."""
    solutions = []
    for item in builtin_items(seed=3, split="test", num_items=4):
        english = item.text("en")
        for code in TEXTS:
            text = item.text(code)
            solutions.append(
                ParallelSolution(
                    item_id=item.item_id,
                    language=code,
                    question=text.question,
                    solution=f"{text.solution}\n{LANGUAGES[code].closing.format(answer=text.answer)}",
                    question_en=english.question,
                    solution_en=f"{english.solution}\nThe answer is {english.answer}.",
                )
            )
    return cheat_groups(solutions, seed=1)


# --- changing a text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closing", "language", "pattern"),
    [
        ("উত্তর হল ১৮।", "bn", "উত্তর হল ১{}।"),
        ("Die Antwort lautet 1.234,50 €.", "de", "Die Antwort lautet 1.234,5{} €."),
        ("The answer is 1/3.", "en", "The answer is 1/{}."),
        ("答えは39個です。", "ja", "答えは3{}個です。"),
    ],
)
def test_a_changed_answer_keeps_its_script_its_marks_and_its_unit(closing: str, language: str, pattern: str) -> None:
    changed = with_other_answer(closing, language, Random(0))
    digits = "১২৩৪৫৬৭৮৯" if language == "bn" else "123456789"
    assert changed in {pattern.format(digit) for digit in digits} - {closing}
    assert changed is not None
    assert final_answer(changed, language) != final_answer(closing, language)


def test_every_digit_becomes_another_one_and_never_zero() -> None:
    for digit in "0123456789":
        changed = {with_numbers_changed(digit, [(0, 1)], Random(seed))[1] for seed in range(200)}
        assert changed == set("123456789" if digit != "0" else "12345678") - {digit}


def test_numbers_are_changed_one_after_the_other_and_stay_changed() -> None:
    none, one, two = with_numbers_changed("10 + 20", [(5, 7), (0, 2)], Random(1))
    assert none == "10 + 20"
    assert one[:6] == none[:6]
    assert one[6] != "0"
    assert two[6] == one[6]
    assert two[1] != "0"


def test_a_solution_is_its_reasoning_and_its_closing() -> None:
    worked = take_apart(APPLES.solution, "de")
    assert worked is not None
    assert worked.text == APPLES.solution
    assert worked.closing == "Die Antwort lautet 5."
    assert (worked.answer, answer_as_written(worked)) == ("5", "5")
    assert take_apart("Anna hat 5 Äpfel.", "de") is None


def test_halves_are_cut_at_the_space_next_to_the_middle_or_in_the_middle() -> None:
    assert halves("one two three") == ("one two", "three")
    assert halves("一二三四") == ("一二", "三四")


# --- groups -----------------------------------------------------------------------------------------------------------


def test_each_cheat_is_made_in_every_language_and_english_lacks_those_that_would_be_faithful(
    everywhere: list[CheatGroup],
) -> None:
    assert len(everywhere) == 4 * len(TEXTS)
    for group in everywhere:
        assert group.left_out == (ENGLISH_IS_FAITHFUL if group.request.language == "en" else ())
        assert set(group.names) | set(group.left_out) == {FAITHFUL, *(cheat.name for cheat in CHEATS)}


def test_answers_are_right_or_wrong_as_each_cheat_says(everywhere: list[CheatGroup]) -> None:
    right = ("wrong number", "other reasoning", "question copied", "topic words", "empty reasoning", "padding")
    right += ("repeated sentence", "repeated solution", "long padding", "two answers", "answer only", "symbol flood")
    for group in everywhere:
        language, texts = group.request.language, responses(group)
        answer = final_answer(texts[FAITHFUL], language)
        assert answer is not None
        assert {name: final_answer(texts[name], language) for name in right} == dict.fromkeys(right, answer)
        assert final_answer(texts["wrong answer"], language) not in (None, answer)
        assert final_answer(texts["other problem"], language) not in (None, answer)
        assert len(declared_answers(texts["two answers"], language)) == 2
        assert declared_answers(texts["truncated"], language) == []
        assert declared_answers(texts["bare number"], language) == []


def test_a_wrong_number_is_one_digit_of_the_reasoning(everywhere: list[CheatGroup]) -> None:
    for group in everywhere:
        texts = responses(group)
        pairs = list(zip(texts[FAITHFUL], texts["wrong number"], strict=True))
        assert sum(before != after for before, after in pairs) == 1
        assert texts["wrong number"].splitlines()[-1] == texts[FAITHFUL].splitlines()[-1]


def test_long_padding_is_beyond_what_an_encoder_reads(everywhere: list[CheatGroup]) -> None:
    for group in everywhere:
        longest = LONG_HAN_CHARACTERS if LANGUAGES[group.request.language].has_han else LONG_CHARACTERS
        assert len(responses(group)["long padding"]) > longest


def test_a_gate_catches_every_surface_form_and_flood_and_a_hedge_earns_no_answer(
    everywhere: list[CheatGroup],
) -> None:
    gates = build_gates(tuple(TEXTS), min_length_ratio=0.2, max_length_ratio=4.0)
    watched = {"disguised english": "language", "symbol flood": "length", "several answers": "format"}
    for group in everywhere:
        readings = dict(zip(group.names, read_group(group.request), strict=True))
        for name in watched.keys() & readings.keys():
            shut = {gate.name for gate in gates if not gate.is_open(readings[name])}
            # Spanish "15 o 19" is read as a formula with a variable.
            is_wrong = name == "several answers" and readings[name].answer != readings[FAITHFUL].answer
            assert watched[name] in shut or is_wrong, readings[name].text


def test_every_flood_is_still_one_after_cleaning() -> None:
    for flood in FLOODS:
        assert len(clean(flood)) >= FLOOD


def test_surface_forms_by_hand() -> None:
    assert [change("Anna has 3 bets.") for change in SURFACE_FORMS] == [
        r"\Anna \has 3 \bets.",
        "A-n-n-a h-a-s 3 b-e-t-s.",
        "αηηα hασ 3 βετσ.",
        "A\u0336n\u0336n\u0336a\u0336 h\u0336a\u0336s\u0336 3 b\u0336e\u0336t\u0336s\u0336.",
    ]


def test_surface_forms_floods_and_ways_to_hedge_take_turns() -> None:
    first, second = (responses(group) for group in cheat_groups([APPLES, PEARS], seed=1))
    assert first["disguised english"].splitlines()[0] == r"\Anna \has 3 + 4 = 7 \apples."
    assert second["disguised english"] == "O-l-e h-a-s 6 p-e-a-r-s.\nDie Antwort lautet 6."
    assert [text["symbol flood"].splitlines()[-2][:3] for text in (first, second)] == ["...", "___"]
    boxed = re.fullmatch(r"Die Antwort lautet \\boxed\{5, ([1-9])\}\.", first["several answers"].splitlines()[-1])
    worded = re.fullmatch(r"Die Antwort lautet 6 oder ([1-9])\.", second["several answers"].splitlines()[-1])
    assert boxed is not None
    assert worded is not None
    assert (boxed[1] != "5", worded[1] != "6") == (True, True)


def test_an_option_is_hedged_with_another_one() -> None:
    chosen = solution("de", "Anna hat 5 Äpfel.\nDie Antwort lautet B.", "Anna has 5 apples.\nThe answer is B.")
    assert responses(cheat_groups([chosen], seed=1)[0])["several answers"].endswith(r"lautet \boxed{B, A}.")


def test_the_same_seed_makes_the_same_cheats_and_another_one_others() -> None:
    assert cheat_groups([APPLES, PEARS], seed=1) == cheat_groups([APPLES, PEARS], seed=1)
    assert cheat_groups([APPLES, PEARS], seed=1) != cheat_groups([APPLES, PEARS], seed=2)


def test_texts_of_one_solution_by_hand() -> None:
    texts = responses(cheat_groups([APPLES, PEARS, SPANISH, SWAHILI], seed=1)[0])
    closing = "Die Antwort lautet 5."
    assert texts[FAITHFUL] == APPLES.solution
    assert texts["other problem"] == PEARS.solution
    assert texts["other reasoning"] == f"Ole hat 6 Birnen.\n{closing}"
    assert texts["english"] == APPLES.solution_en
    assert texts["english reasoning"].endswith(f"so 7 - 2 = 5 are left.\n{closing}")
    assert texts["code-mixing"] == f"Anna hat 3 + 4 = 7 Äpfel.\nShe eats 2, so 7 - 2 = 5 are left.\n{closing}"
    assert texts["question copied"] == f"Frage a?\n{closing}"
    assert sorted(texts["topic words"].splitlines()[0].split()) == ["Anna", "bleiben", "isst", "Äpfel"]
    assert texts["empty reasoning"] == f"...\n\n{closing}"
    assert texts["repeated sentence"] == "Anna hat 3 + 4 = 7 Äpfel.\n" * LOOPS + closing
    assert texts["repeated solution"].count("es bleiben") == 3
    assert texts["padding"].splitlines()[2] == "Ole hat 6 Birnen."
    assert texts["answer only"] == closing
    assert texts["bare number"] == "5"


def test_code_mixing_makes_the_second_half_of_a_single_sentence_english() -> None:
    texts = responses(cheat_groups([PEARS, APPLES], seed=1)[0])
    assert texts["code-mixing"] == "Ole hat 6 pears.\nDie Antwort lautet 6."


def test_other_languages_take_turns_and_english_is_none_of_them() -> None:
    groups = cheat_groups([APPLES, SPANISH, SWAHILI], seed=1)
    assert [responses(group)["other language"] for group in groups] == [
        SPANISH.solution,
        SWAHILI.solution,
        APPLES.solution,
    ]


def test_a_cheat_that_can_not_be_made_is_left_out_and_named() -> None:
    lone = solution("de", "Es sind alle.\nDie Antwort lautet 5.", "All of them.\nThe answer is 5.")
    (group,) = cheat_groups([lone], seed=1)
    expected = {"wrong number", "other problem", "other reasoning", "other language", "padding", "long padding"}
    assert expected <= set(group.left_out)
    assert not set(group.left_out) & set(group.names)


def test_only_the_truncated_cheat_is_said_to_be_truncated() -> None:
    (group, _) = cheat_groups([APPLES, PEARS], seed=1)
    flagged = [name for name, cut in zip(group.names, group.request.truncated, strict=True) if cut]
    assert flagged == ["truncated"]


def test_a_native_solution_without_a_recognised_answer_is_closed_for_its_cheats_only() -> None:
    unclosed = solution("de", "Anna hat 3 + 2 = 5 Äpfel.", APPLES.solution_en)
    texts = responses(cheat_groups([unclosed], seed=1)[0])
    assert texts[FAITHFUL] == unclosed.solution
    assert texts["answer only"] == "Die Antwort lautet 5."


def test_an_english_solution_without_an_answer_is_refused_by_name() -> None:
    with pytest.raises(BadInput) as refused:
        cheat_groups([solution("de", "Die Antwort lautet 5.", "Five apples.")], seed=1)
    assert refused.value.key == "a"


# --- series and questions ---------------------------------------------------------------------------------------------


def test_a_series_changes_one_number_more_each_time_and_never_the_answer() -> None:
    (series,) = corruption_series([APPLES], seed=1)
    assert series.responses[0] == APPLES.solution
    differing = [sum(a != b for a, b in zip(APPLES.solution, text, strict=True)) for text in series.responses]
    assert differing == list(range(8))  # 3 4 7 2 7 2 5: seven numbers before the closing
    assert {final_answer(text, "de") for text in series.responses} == {"5"}


def test_a_reasoning_with_a_single_number_has_no_series() -> None:
    assert corruption_series([PEARS], seed=1) == []


def test_a_question_is_asked_about_with_a_closing_in_its_language() -> None:
    request = question_request(questions_of([APPLES])[0])
    assert request.responses == ("Frage a?\nDie Antwort lautet 18.",)
    assert request.reference.endswith("The answer is 18.")
