"""Every reader of a text must finish with 20,000 hostile characters: the pivot's reference passes no gate before it.

A pattern that tries all divisions of a run needs minutes for such a text, which no suite of tests waits for.
"""

from collections.abc import Callable, Sequence

import pytest

from languages.facts import LANGUAGES
from rewards.answers.equations import true_share
from rewards.answers.final import declared_answers, final_answer, plain_answer, same_answer
from rewards.answers.symbolic import as_expression
from rewards.gates.copying import copied_share, works_something_out
from rewards.gates.disguise import is_disguised, without_commands
from rewards.gates.japanese import is_like_japanese
from rewards.gates.repetition import repeats_phrases, repeats_sentences
from rewards.number_coverage import find_text_numbers
from rewards.texts.chunks import cut_text, split_sentences
from rewards.texts.clean import clean
from rewards.texts.markup import plain
from rewards.texts.phrases import tokens_of
from rewards.texts.scripts import num_symbols, weigh
from rewards.texts.thinking import split_thinking

LENGTH = 20_000
UNITS = {
    **{f"marks {unit}": unit for unit in "_*#>(-|`~$.!?)]\"'/\\{}<^%:;,=+"},
    **{f"blanks {unit!r}": unit for unit in (" ", "\t", "\n", "\r\n", "\u00a0", "\u3000", " \n", "\u200b")},
    **{f"digits {unit}": unit for unit in ("1", "1 ", "1,", "1.", "1/2 ", "1 + ", "٣", "१", "百", "½", "x=1\n")},
    **{f"letters {unit}": unit for unit in ("a", "a ", "A. ", "e\u0301", "ก", "क्", "あ", "的", "ı", "one ", "twenty-")},
    **{f"LaTeX {unit}": unit for unit in ("\\boxed{", "\\frac{1}{", "\\text{a", "$1", "\\(", "^{", "\\sqrt ")},
    **{f"words {unit}": unit for unit in ("The answer is ", "The answer is 1. ", "Step 1: ", "- a\n", "<think>")},
    **{f"pairs {unit}": unit for unit in ("._", ".)", "_ ", "*_", "- ", "#1", "> 1. ", "| a ", ". \t", "a_1")},
}
GERMAN = LANGUAGES["de"]
READERS: dict[str, Callable[[str], object]] = {
    "numbers of Thai": lambda text: find_text_numbers(text, "th"),
    "equations": lambda text: true_share(text, "de"),
    "declared answers": lambda text: declared_answers(text, "de"),
    "final answer": lambda text: final_answer(text, "ja"),
    "plain answer": lambda text: plain_answer(text, "en"),
    "the same answer": lambda text: same_answer(text, text + "1"),
    "expression": as_expression,
    "sentences": split_sentences,
    "chunks": lambda text: cut_text(text, count=_count, target=100, limit=120),
    "cleaned": clean,
    "without markup": plain,
    "tokens": tokens_of,
    "symbols": lambda text: num_symbols(text, "de"),
    "weight": lambda text: weigh(text, "th"),
    "thinking": lambda text: split_thinking(text, (("<think>", "</think>"),)),
    "copied": lambda text: copied_share(text, text, "de"),
    "works something out": lambda text: works_something_out(text, "How many?"),
    "disguise": lambda text: is_disguised(text, GERMAN),
    "commands": without_commands,
    "Japanese": is_like_japanese,
    "sentences again": repeats_sentences,
    "phrases again": lambda text: repeats_phrases(text, "de"),
}


def _count(texts: Sequence[str]) -> list[int]:
    return [2 + len(text) // 4 for text in texts]


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@pytest.mark.slow
def test_a_reader_finishes_with_any_text(reader: Callable[[str], object]) -> None:
    for unit in UNITS.values():
        run = unit * (LENGTH // len(unit))
        reader(f"1 {run}z")
