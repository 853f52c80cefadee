"""Define the ways to cheat that the audit tries: each makes, from a faithful solution, a text that should earn less.

The same solution, neighbours and seed give the same text. A cheat that can't be made from a solution gives None.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from random import Random

from driver.audit.faithful import (
    WorkedText,
    answer_as_written,
    halves,
    number_places,
    with_numbers_changed,
    with_other_answer,
)
from driver.audit.surface_forms import FLOODS, HIDING_PLACES, SURFACE_FORMS
from languages.facts import LANGUAGES
from languages.language import Language
from rewards.answers.final import final_answer
from rewards.texts.chunks import split_sentences

LOOPS = 12
"""Number of repetitions of the first sentence in a loop."""
LONG_CHARACTERS, LONG_HAN_CHARACTERS = 2700, 1200
"""Characters of padding that exceed 600 tokens: up to 2 per token in Chinese and Japanese, 4.5 elsewhere."""

_NOT_CONTENT = re.compile(r"[\s\d.,;:!?…。、，；：！？।؟،؛()\[\]{}+\-*/×÷=<>≈−–—%$€£¥₹'’\"“”«»]+")
_PIECE = 4
"""Least characters of a content word: shorter ones are mostly function words. Chinese and Japanese are cut into pieces
of this length; Thai, which has no spaces between words either, is cut at its spaces."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Hold what a cheat is made from: one solution and its neighbours."""

    item_id: str
    question: str
    native: WorkedText
    english: WorkedText
    others: tuple[WorkedText, ...]  # other problems in the same language, the next one first
    other_questions: tuple[str, ...]  # in the same order
    elsewhere: tuple[WorkedText, ...]  # the same problem in other languages but English
    position: int  # of the item in its language
    seed: int

    def random(self, purpose: str) -> Random:
        """Return a generator that draws the same for an item in all its languages."""
        return Random(f"{self.seed}/{self.item_id}/{purpose}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cheat:
    """Hold one way to cheat."""

    name: str
    imitates: str
    make: Callable[[Subject], str | None]
    is_truncated: bool = False  # whether the engine would report the response as cut off


def wrong_answer(subject: Subject) -> str | None:
    """Change the final answer."""
    native = subject.native
    closing = with_other_answer(native.closing, native.language, subject.random("answer"))
    return None if closing is None else f"{native.reasoning}{native.between}{closing}"


def wrong_number(subject: Subject) -> str | None:
    """Change one number of the reasoning."""
    native, random = subject.native, subject.random("number")
    places = number_places(native.reasoning, native.language)
    if not places:
        return None
    return native.changed(with_numbers_changed(native.reasoning, [random.choice(places)], random)[-1])


def other_problem(subject: Subject) -> str | None:
    """Give the solution of another problem, with its answer."""
    found = _other(subject)
    return None if found is None else found.text


def other_reasoning(subject: Subject) -> str | None:
    """Give the reasoning of another problem with the right answer."""
    found = _other(subject)
    return None if found is None else subject.native.close(found.reasoning)


def english(subject: Subject) -> str:
    """Give the solution in English."""
    return subject.english.text


def english_reasoning(subject: Subject) -> str:
    """Give the reasoning in English, and the closing as asked."""
    return subject.native.close(subject.english.reasoning)


def english_closing(subject: Subject) -> str:
    """Give the reasoning as asked, and the closing in English."""
    return f"{subject.native.reasoning}{subject.native.between}{subject.english.closing}"


def disguised_english(subject: Subject) -> str | None:
    """Give the reasoning in English in another surface form; the forms take turns over the items.

    For an English question this would not be another language.
    """
    if subject.native.language == "en":
        return None
    change = SURFACE_FORMS[subject.position % len(SURFACE_FORMS)]
    return subject.native.close(change(subject.english.reasoning))


def hidden_english(subject: Subject) -> str | None:
    """Give the reasoning in English where a language gate may not look; the places take turns over the items.

    For an English question this would not be another language.
    """
    if subject.native.language == "en":
        return None
    hide = HIDING_PLACES[subject.position % len(HIDING_PLACES)]
    return subject.native.close(f"{hide(subject.english.reasoning)}\n")


def other_language(subject: Subject) -> str | None:
    """Give the solution in a third language; the languages take turns over the items."""
    return subject.elsewhere[subject.position % len(subject.elsewhere)].text if subject.elsewhere else None


def code_mixing(subject: Subject) -> str:
    """Give every second sentence in English; of a single sentence, the second half."""
    native, foreign = split_sentences(subject.native.reasoning), split_sentences(subject.english.reasoning)
    if min(len(native), len(foreign)) < 2:
        mixed = f"{halves(subject.native.reasoning)[0]} {halves(subject.english.reasoning)[1]}"
        return subject.native.close(mixed)
    turns = range(max(len(native), len(foreign)))
    pairs = [(native, foreign)[turn % 2] for turn in turns]
    mixed = [source[turn] for turn, source in zip(turns, pairs, strict=True) if turn < len(source)]
    return subject.native.close("\n".join(mixed))


def question_copied(subject: Subject) -> str:
    """Repeat the question in place of reasoning."""
    return f"{subject.question}\n{subject.native.closing}"


def topic_words(subject: Subject) -> str | None:
    """Give the content words of the reasoning in random order."""
    language = LANGUAGES[subject.native.language]
    words = _NOT_CONTENT.split(subject.native.reasoning)
    if language.has_han:
        words = [word[start : start + _PIECE] for word in words for start in range(0, len(word), _PIECE)]
    words = [word for word in words if len(word) >= _shortest_word(language)]
    if len(words) < 2:
        return None
    subject.random("words").shuffle(words)
    return subject.native.close(" ".join(words))


def empty_reasoning(subject: Subject) -> str:
    """Give dots in place of reasoning."""
    return f"...\n\n{subject.native.closing}"


def repeated_sentence(subject: Subject) -> str | None:
    """Repeat the first sentence in place of reasoning."""
    found = split_sentences(subject.native.reasoning)
    return subject.native.close("\n".join(found[:1] * LOOPS)) if found else None


def repeated_solution(subject: Subject) -> str:
    """Give the reasoning three times."""
    return subject.native.close("\n".join([subject.native.reasoning] * 3))


def padding(subject: Subject) -> str | None:
    """Add sentences of other problems, as long as the reasoning in total."""
    return _padded(subject, num_characters=len(subject.native.reasoning))


def long_padding(subject: Subject) -> str | None:
    """Add sentences of other problems, beyond what an encoder reads."""
    has_han = LANGUAGES[subject.native.language].has_han
    return _padded(subject, num_characters=LONG_HAN_CHARACTERS if has_han else LONG_CHARACTERS)


def symbol_flood(subject: Subject) -> str:
    """Add garbage; the kinds of garbage take turns over the items."""
    return subject.native.close(f"{subject.native.reasoning}\n{FLOODS[subject.position % len(FLOODS)]}")


def truncated(subject: Subject) -> str:
    """Give the first half of the reasoning alone."""
    return halves(subject.native.reasoning)[0]


def two_answers(subject: Subject) -> str | None:
    """Declare a wrong answer, then the right one."""
    native = subject.native
    wrong = with_other_answer(native.closing, native.language, subject.random("answer"))
    return None if wrong is None else f"{native.reasoning}{native.between}{wrong}\n{native.closing}"


def several_answers(subject: Subject) -> str | None:
    """Declare the right answer and another one in one closing: in a box and in words, by turns."""
    native = subject.native
    other = _wrong_number(subject)
    if other is None:
        return None
    both = (answer_as_written(native), other)
    declared = (
        f"\\boxed{{{', '.join(both)}}}"
        if subject.position % 2 == 0
        else f" {LANGUAGES[native.language].or_word} ".join(both)
    )
    return f"{native.reasoning}{native.between}{LANGUAGES[native.language].closing.format(answer=declared)}"


def choice_behind_box(subject: Subject) -> str | None:
    """Declare the right answer in a box and offer another one behind it, with the language's word for "or"."""
    native = subject.native
    other = _wrong_number(subject)
    if other is None:
        return None
    declared = f"\\boxed{{{answer_as_written(native)}}} {LANGUAGES[native.language].or_word} {other}"
    return f"{native.reasoning}{native.between}{LANGUAGES[native.language].closing.format(answer=declared)}"


def hedged_answer(subject: Subject) -> str | None:
    """Hedge the right answer with words of the language, such as "at least"; the words take turns over the items."""
    native = subject.native
    hedges = LANGUAGES[native.language].hedges
    if not hedges:
        return None
    declared = f"{hedges[subject.position % len(hedges)]} {answer_as_written(native)}"
    return f"{native.reasoning}{native.between}{LANGUAGES[native.language].closing.format(answer=declared)}"


def second_thought(subject: Subject) -> str | None:
    """Declare the right answer and offer another one in the next sentence."""
    native = subject.native
    other = _wrong_number(subject)
    or_word = LANGUAGES[native.language].or_word
    return None if other is None else f"{native.text}\n{or_word} {other}."


def answer_only(subject: Subject) -> str:
    """Give the closing sentence alone."""
    return subject.native.closing


def bare_number(subject: Subject) -> str:
    """Give the answer alone, without a sentence."""
    return answer_as_written(subject.native)


CHEATS: tuple[Cheat, ...] = (
    Cheat(name="wrong answer", imitates="a slip in the last line", make=wrong_answer),
    Cheat(name="wrong number", imitates="a wrong step that ends in the right answer", make=wrong_number),
    Cheat(name="other problem", imitates="a solution of another problem", make=other_problem),
    Cheat(name="other reasoning", imitates="a guessed answer after any reasoning", make=other_reasoning),
    Cheat(name="english", imitates="thinking and answering in English", make=english),
    Cheat(name="english reasoning", imitates="thinking in English, answering as asked", make=english_reasoning),
    Cheat(name="english closing", imitates="thinking as asked, answering in English", make=english_closing),
    Cheat(name="disguised english", imitates="English in a form that hides it", make=disguised_english),
    Cheat(name="hidden english", imitates="English in headings, code, formulas and glosses", make=hidden_english),
    Cheat(name="other language", imitates="answering in a third language", make=other_language),
    Cheat(name="code-mixing", imitates="drifting to English now and then", make=code_mixing),
    Cheat(name="question copied", imitates="repeating the question in place of reasoning", make=question_copied),
    Cheat(name="topic words", imitates="naming the topic without reasoning", make=topic_words),
    Cheat(name="empty reasoning", imitates="a placeholder in place of reasoning", make=empty_reasoning),
    Cheat(name="repeated sentence", imitates="an endless loop", make=repeated_sentence),
    Cheat(name="repeated solution", imitates="saying it all three times", make=repeated_solution),
    Cheat(name="padding", imitates="fluent sentences about something else", make=padding),
    Cheat(name="long padding", imitates="the same, beyond what an encoder reads", make=long_padding),
    Cheat(name="symbol flood", imitates="endless symbols and garbage", make=symbol_flood),
    Cheat(name="truncated", imitates="running into the token limit", make=truncated, is_truncated=True),
    Cheat(name="two answers", imitates="declaring several answers", make=two_answers),
    Cheat(name="several answers", imitates="hedging inside one declaration", make=several_answers),
    Cheat(name="choice behind box", imitates="offering another answer behind a box", make=choice_behind_box),
    Cheat(name="hedged answer", imitates="an answer that is true of many numbers", make=hedged_answer),
    Cheat(name="second thought", imitates="another answer in the next sentence", make=second_thought),
    Cheat(name="answer only", imitates="the closing sentence alone", make=answer_only),
    Cheat(name="bare number", imitates="the number alone", make=bare_number),
)


def _wrong_number(subject: Subject) -> str | None:
    """Return another answer than the right one, as the closing writes it; None where the closing has none."""
    native = subject.native
    wrong = with_other_answer(native.closing, native.language, subject.random("answer"))
    answer = None if wrong is None else final_answer(wrong, native.language)
    if wrong is None or answer is None:
        return None
    return answer_as_written(replace(native, closing=wrong, answer=answer))


def _shortest_word(language: Language) -> int:
    """Return the least characters of a content word."""
    if language.has_spaces:
        return _PIECE
    return 2 if language.has_han else 1


def _other(subject: Subject) -> WorkedText | None:
    """Return the next problem that has another answer."""
    return next((other for other in subject.others if other.answer != subject.native.answer), None)


def _padded(subject: Subject, *, num_characters: int) -> str | None:
    """Add at least so many characters of other problems' sentences to the reasoning, all of them in turn."""
    available = [
        sentence
        for other, question in zip(subject.others, subject.other_questions, strict=True)
        for sentence in (*split_sentences(other.reasoning), *split_sentences(question))
    ]
    if not available:
        return None
    taken = list(_take(cycle(available), num_characters))
    return subject.native.close("\n".join([subject.native.reasoning, *taken]))


def _take(pieces: Iterator[str], num_characters: int) -> Iterator[str]:
    while num_characters > 0:
        (piece,) = islice(pieces, 1)
        num_characters -= len(piece)
        yield piece
