"""Hold the words of the problems of logic: one file a language, beside the names of the built-in problems.

To add a language, write `<code>.py` beside this file. It defines `TEXT = LogicText(...)` and says what `en.py` says,
as a native speaker would write it in a school book:

    instruction  asks for step-by-step reasoning and for the closing, as the language file does for numbers
    closing      declares the answer; {answer} stands for a clause, so a colon or quotation marks may be needed
    nouns        words of each sort in the order of `en.py`; several forms are parted by "|", and `forms` names them
    relations    patterns for each relation; {a} and {b} are its arguments, {b:gen} the form "gen" of one
    stories      five chains of everyday events: `cause`, `effect` and `sequel` of a girl {a}; `law` says that such a
                 cause has such an effect, `second_law` that such an effect has such a sequel
    questions    one for each template, behind what is told

In a pattern, [x] may be left out and (x|y) is x or y. The first pattern of a relation is said in questions and answers,
with first alternatives and nothing that may be left out; all patterns are recognised as right answers. The second one
of an order ("taller") says the same from the other end, and is said too. So write the most natural one first, add as
many as are clearly right, and never one that is true of the opposite.

Roles have one gender throughout ("taller" is for girls, "older" for boys), so that words can agree. Clauses stand
inside sentences: begin them in lower case unless they begin with a name.
"""

from collections.abc import Mapping
from importlib import import_module

from driver.problems.logic.texts.wording import LogicText

_CODES = ("en", "de", "fr", "es", "ru", "zh", "ja", "th", "sw", "bn", "te", "ar")


def _text(code: str) -> LogicText:
    text = import_module(f"{__name__}.{code}").TEXT
    assert isinstance(text, LogicText), f"TEXT of {code} is not a LogicText"
    return text


TEXTS: Mapping[str, LogicText] = {code: _text(code) for code in _CODES}
"""The words of every language by its code, in the order in which languages are listed everywhere."""
