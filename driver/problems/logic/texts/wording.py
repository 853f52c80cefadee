"""Word the problems of logic in one language: what is told, what is asked, steps, and every way to say a clause."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from driver.problems.builtin.texts import TEXTS as BUILTIN_TEXTS
from driver.problems.logic.texts.patterns import Forms, filled, plain, recogniser, said
from driver.problems.logic.texts.templates import (
    ORDERS,
    RELATIONS,
    SORTS,
    STORY_RELATIONS,
    TEMPLATES,
    Clause,
    Entity,
    Sort,
    Step,
)

_OPTIONAL = re.compile(r"\[[^\[\]]*\]")

ROLES = "abcdef"
"""Placeholders of a clause's arguments, in order; of a story's clause, {a} is the person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogicProblem:
    """Hold one item in one language."""

    question: str
    steps: tuple[str, ...]  # one for each deduction
    answer: str  # a clause, without a full stop

    @property
    def solution(self) -> str:
        """Return the steps, one on each line, without the final answer."""
        return "\n".join(self.steps)


@dataclass(frozen=True, kw_only=True, eq=False)
class LogicText:
    """Hold the words of one language. The constructor checks them, so a mistake shows when the file is imported."""

    language: str  # ISO 639-1
    instruction: str  # asks for reasoning step by step in the language, and for the closing at the end
    closing: str  # declares the answer, which replaces {answer}
    stop: str = ". "  # between two sentences
    denied_by: str = ""  # word that denies a clause that it stands behind; "" where denials have forms of their own
    lead_in: str = ""  # pattern of words that an answer may begin with, such as "that"
    nouns: Mapping[Sort, tuple[str, ...]]  # every noun's forms, parted by "|"
    forms: Mapping[Sort, tuple[str, ...]] = field(default_factory=dict)  # what these forms are called; {a} is the first
    relations: Mapping[str, tuple[str, ...]]  # patterns; questions, steps and answers say the first ones
    stories: tuple[Mapping[str, tuple[str, ...]], ...]
    deduce: str  # a step: from {x} and {y} follows {z}
    convert: str  # a step: {x} says the same as {z}
    explain: str  # a step: {x} is a general truth, and {z} the reason that it gives
    questions: Mapping[str, str]  # by template; it stands behind what is told

    def __post_init__(self) -> None:
        for sort, num in SORTS.items():
            words, num_forms = self._words(sort), len(self._form_names(sort))
            if len(words) != num or any(len(word.split("|")) != num_forms for word in words):
                raise ValueError(f"text {self.language!r}: {sort} needs {num} words of {num_forms} forms; has {words}")
        if self.questions.keys() != TEMPLATES.keys():
            raise ValueError(f"text {self.language!r}: questions of {set(self.questions) ^ set(TEMPLATES)}")
        if {*self.relations, *STORY_RELATIONS} != set(RELATIONS):
            raise ValueError(f"text {self.language!r}: relations {set(self.relations) ^ set(RELATIONS)}")
        if one_way := [name for name in ORDERS if len(self.relations[name]) < 2]:
            raise ValueError(f"text {self.language!r}: {one_way} can be said from one end only")
        if len(self.stories) != SORTS["story"] or any(set(story) != set(STORY_RELATIONS) for story in self.stories):
            raise ValueError(f"text {self.language!r}: it needs {SORTS['story']} stories of {STORY_RELATIONS}")

    def render(
        self, facts: Sequence[Clause], steps: Sequence[Step], *, template_id: str, entities: Mapping[str, Entity]
    ) -> LogicProblem:
        """Return an item's texts; `entities` are those of the roles that the question of the template may name."""
        told = "".join(_capital(self.say(fact)) + self.stop for fact in facts)
        asked = filled(self.questions[template_id], lambda role, form: self.noun(entities[role], form))
        return LogicProblem(
            question=told + _capital(asked),
            steps=tuple(self._step(step) for step in steps),
            answer=self.say(steps[-1].conclusion),
        )

    def say(self, clause: Clause) -> str:
        """Return a clause in words, as it stands inside a sentence."""
        patterns, named = self.ways_to_say(clause)
        return said(patterns[clause.form], named)

    def says(self, text: str, clause: Clause) -> bool:
        """Return whether a text is one clause, and means what `clause` means."""
        return any(pattern.fullmatch(plain(text)) for pattern in _recognisers(self, clause))

    def mentions(self, text: str, clause: Clause) -> bool:
        """Return whether a text says, anywhere, what `clause` means, with the words for all of its arguments."""
        return any(pattern.search(plain(text)) for pattern in _finders(self, clause))

    def noun(self, entity: Entity, form: str = "") -> str:
        """Return the word for an entity, in a form."""
        names = self._form_names(entity.sort)
        return self._words(entity.sort)[entity.index].split("|")[names.index(form) if form else 0]

    def ways_to_say(self, clause: Clause) -> tuple[tuple[str, ...], Forms]:
        """Return the patterns of a clause, and the words of its arguments."""
        if clause.relation in STORY_RELATIONS:
            story, *arguments = clause.arguments
            patterns = self.stories[story.index][clause.relation]
        else:
            arguments, patterns = list(clause.arguments), self.relations[clause.relation]
        by_role = dict(zip(ROLES, arguments, strict=False))
        return patterns, lambda role, form: self.noun(by_role[role], form)

    def _step(self, step: Step) -> str:
        texts = {"x": self.say(step.premises[0]), "y": self.say(step.premises[-1]), "z": self.say(step.conclusion)}
        pattern = {"deduce": self.deduce, "convert": self.convert, "explain": self.explain}[step.kind]
        return filled(pattern, lambda role, form: _capital(texts[role]) if form == "cap" else texts[role])

    def _words(self, sort: Sort) -> tuple[str, ...]:
        if sort in ("girl", "boy"):
            names = BUILTIN_TEXTS[self.language]
            return names.girls if sort == "girl" else names.boys
        return self.nouns.get(sort, ()) if sort != "story" else ("",) * SORTS["story"]

    def _form_names(self, sort: Sort) -> tuple[str, ...]:
        return BUILTIN_TEXTS[self.language].cases if sort in ("girl", "boy") else self.forms.get(sort, ("",))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@lru_cache(maxsize=4096)
def _recognisers(text: LogicText, clause: Clause) -> tuple[re.Pattern[str], ...]:
    """Return the expressions of all ways in which a language says a clause."""
    patterns, named = text.ways_to_say(clause)
    return tuple(_expression(text.lead_in + pattern, named) for pattern in patterns)


@lru_cache(maxsize=4096)
def _finders(text: LogicText, clause: Clause) -> tuple[re.Pattern[str], ...]:
    """Return the expressions of those ways that name every argument, not denied by what follows."""
    patterns, named = text.ways_to_say(clause)
    roles = ROLES[: len(clause.arguments) - (clause.relation in STORY_RELATIONS)]
    fixed = {pattern: _OPTIONAL.sub("", pattern) for pattern in patterns}
    complete = [pattern for pattern in patterns if all(f"{{{role}" in fixed[pattern] for role in roles)]
    behind = f"(?!{re.escape(plain(text.denied_by))})" if text.denied_by else ""
    return tuple(_expression(pattern, named, behind=behind) for pattern in complete)


def _expression(pattern: str, named: Forms, *, behind: str = "") -> re.Pattern[str]:
    return re.compile(recogniser(pattern, lambda role, form: re.escape(plain(named(role, form)))) + behind)
