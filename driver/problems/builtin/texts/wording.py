"""Word the problems in one language: its names, its plural rule, and a question and steps for each template.

Owns the placeholders that a language's file may use, and filling them in. Must not know any language in particular,
nor how items are drawn. How to write a language's file: the docstring of `text/`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter

from driver.problems.builtin.texts.templates import CAST_SIZE, TEMPLATES, Step, Template


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelText:
    """Hold one item in one language."""

    question: str
    steps: tuple[str, ...]  # one sentence per arithmetic step, each with its equation
    answer: str  # digits only

    @property
    def solution(self) -> str:
        """Return the steps, one on each line, without a final answer: each language has its own closing phrase."""
        return "\n".join(self.steps)


def _same_for_all(number: int) -> int:
    """Return form 0 for each number: the plural rule of a language with a single form from 3 on."""
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageText:
    """Hold the words of one language. The constructor checks them, so a mistake shows when the file is imported."""

    language: str  # ISO 639-1
    question_mark: str  # how every question ends; "" where the language writes none
    girls: tuple[str, ...]  # [CAST_SIZE] in the order of every other language; forms parted by "|", one per case
    boys: tuple[str, ...]  # [CAST_SIZE]
    cases: tuple[str, ...] = ("base",)  # what the forms of a name are called; {p} is the first, {p:gen} is "gen"
    plural: Callable[[int], int] = _same_for_all  # which of the forms in {a:one|two|...} goes with a number
    sentences: Mapping[str, tuple[str, ...]]  # by template: the question, then one sentence per step

    def __post_init__(self) -> None:
        self._check_names()
        if missing := [name for name in TEMPLATES if name not in self.sentences]:
            raise ValueError(f"text {self.language!r} lacks the templates {', '.join(missing)}")
        for template_id, sentences in self.sentences.items():
            if template_id not in TEMPLATES:
                raise ValueError(f"text {self.language!r} has an unknown template {template_id!r}")
            self._check_sentences(TEMPLATES[template_id], sentences)

    def _check_names(self) -> None:
        for kind, names in (("girls", self.girls), ("boys", self.boys)):
            if len(names) != CAST_SIZE:
                raise ValueError(f"text {self.language!r} has {len(names)} {kind}; it needs {CAST_SIZE}")
            for name in names:
                if len(name.split("|")) != len(self.cases):
                    raise ValueError(
                        f"text {self.language!r}: {name!r} has {len(name.split('|'))} forms; the cases are "
                        f"{', '.join(self.cases)}"
                    )

    def _check_sentences(self, template: Template, sentences: tuple[str, ...]) -> None:
        where = f"text {self.language!r}, template {template.template_id!r}"
        if len(sentences) != 1 + template.level:
            raise ValueError(
                f"{where}: {len(sentences)} sentences; it needs a question and {template.level} steps. Is a comma "
                "missing or one too many?"
            )
        if not sentences[0].endswith(self.question_mark):
            raise ValueError(f"{where}: the question doesn't end with {self.question_mark!r}: {sentences[0]!r}")
        for sentence in sentences:
            numbers = list(template.numbers) if sentence is sentences[0] else ["eq"]
            shown = sorted(name for name, spec in _fields(sentence) if not spec and name not in template.people)
            if shown != sorted(numbers):
                raise ValueError(
                    f"{where}: shows the numbers {', '.join(shown) or 'none'}; it must show each of "
                    f"{', '.join(numbers)} once and no other: {sentence!r}"
                )
            for name, spec in _fields(sentence):
                if name in template.people and spec and spec not in self.cases:
                    raise ValueError(f"{where}: no case {spec!r} of a name; the cases are {', '.join(self.cases)}")
            if any(character.isdigit() for character in sentence):
                raise ValueError(f"{where}: a number is written out; only placeholders may show one: {sentence!r}")

    def render(
        self, template_id: str, *, values: Mapping[str, int], cast: Mapping[str, int], steps: tuple[Step, ...]
    ) -> ParallelText:
        """Fill in the numbers (by letter), the people (by role, as an index into the names) and the equations."""
        question, *sentences = self.sentences[template_id]
        fields: dict[str, _Number | _Person] = {
            letter: _Number(str(value), self.plural(value)) for letter, value in values.items()
        }
        for role, index in cast.items():
            forms = (self.girls if role == "p" else self.boys)[index].split("|")
            fields[role] = _Person(dict(zip(self.cases, forms, strict=True)), forms[0])
        return ParallelText(
            question=question.format_map(fields),
            steps=tuple(
                sentence.format_map({**fields, "eq": _Number(step.equation, self.plural(step.result))})
                for sentence, step in zip(sentences, steps, strict=True)
            ),
            answer=str(steps[-1].result),
        )


def _fields(sentence: str) -> list[tuple[str, str]]:
    """Return the placeholders of a sentence: (name, text after the colon)."""
    return [(name, spec or "") for _, name, spec, _ in Formatter().parse(sentence) if name is not None]


@dataclass(frozen=True, slots=True)
class _Number:
    """Format {a} as the number or equation, and {a:one|two|...} as the form of a word that goes with it."""

    text: str
    form: int

    def __format__(self, spec: str) -> str:
        return spec.split("|")[self.form] if spec else self.text


@dataclass(frozen=True, slots=True)
class _Person:
    """Format {p} as the name, and {p:gen} as its form called "gen"."""

    forms: Mapping[str, str]
    base: str

    def __format__(self, spec: str) -> str:
        return self.forms[spec] if spec else self.base
