"""Train the two models of the quickstart (`python -m quickstart.numbers.build --to FOLDER`).

The pivot learns English problems and equations. The policy is the pivot after one more course, in which it gets some
problems in the other languages as well. Some of those have English solutions, so that the policy sometimes answers in
English, as large models do. The same seed gives the same models on one machine.
"""

import argparse
import copy
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from quickstart.folders import build_once
from quickstart.numbers.lessons import (
    LANGUAGES_KNOWN,
    LEVELS,
    POLICY_LEVELS,
    Lesson,
    english_lessons,
    equations,
    equations_lesson,
    foreign_lessons,
    texts_of_all_languages,
)
from quickstart.numbers.tokenizer import train_tokenizer
from quickstart.numbers.training import Course, new_model, train

logger = logging.getLogger(__name__)

PIVOT, POLICY = "numbers-pivot", "numbers-policy"
THREADS = 1  # the number of threads decides in which order numbers are added, and so the last digits of the weights
NUM_TOKENIZER_ITEMS = 600
EQUATIONS_A_LESSON = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Courses:
    """Say how both models are trained."""

    english: Course = field(default_factory=lambda: Course(steps=900, batch_size=32, learning_rate=3e-3))
    english_last: Course = field(default_factory=lambda: Course(steps=1200, batch_size=48, learning_rate=2e-3))
    policy: Course = field(default_factory=lambda: Course(steps=360, batch_size=32, learning_rate=1.5e-3))
    num_english: int = 30_000
    num_english_again: int = 20_000  # of the policy's own course
    num_foreign: int = 90  # problems that the policy has in each other language
    english_share: float = 0.35  # of these, how many are answered in English


def main(arguments: list[str]) -> int:
    """Train both models. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m quickstart.numbers.build", description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="folder that gets the models' folders")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    build_models(options.to, Courses())
    return 0


def build_models(folder: Path, courses: Courses) -> None:
    """Train the two models into two folders, unless both are there already."""
    if (folder / PIVOT).exists() and (folder / POLICY).exists():
        logger.info("%s and %s: already in %s", PIVOT, POLICY, folder)
        return
    torch.set_num_threads(THREADS)
    tokenizer = train_tokenizer(texts_of_all_languages(seed=1, num=NUM_TOKENIZER_ITEMS))
    pivot = new_model(tokenizer, seed=1)
    english = english_lessons(seed=11, num=courses.num_english, levels=LEVELS)
    train(pivot, tokenizer, mixture(english, of_equations=0.4), courses.english, seed=1)
    train(pivot, tokenizer, mixture(english, of_equations=0.6), courses.english_last, seed=2)

    policy = copy.deepcopy(pivot)
    lessons = _policy_lessons(courses)
    train(policy, tokenizer, lessons, courses.policy, seed=3)
    for name, model in ((PIVOT, pivot), (POLICY, policy)):
        build_once(folder / name, lambda made, model=model: _save(model, tokenizer, made))


def _policy_lessons(courses: Courses) -> Callable[[Random], Lesson]:
    """Return what draws the policy's lessons, which are of the level that it is trained on later."""
    others = [language for language in LANGUAGES_KNOWN if language != "en"]
    foreign = foreign_lessons(seed=3, num=courses.num_foreign, languages=others, english_share=courses.english_share)
    english = english_lessons(seed=11, num=courses.num_english_again, levels=POLICY_LEVELS)
    return mixture(english, foreign, of_equations=0.2, of_foreign=0.6, levels=POLICY_LEVELS)


def mixture(
    english: Sequence[Lesson],
    foreign: Sequence[Lesson] = (),
    *,
    of_equations: float,
    of_foreign: float = 0.0,
    levels: Sequence[int] = LEVELS,
) -> Callable[[Random], Lesson]:
    """Return what draws lessons: these shares of equations and of foreign problems, and English ones for the rest."""
    known = equations(levels)

    def draw(random: Random) -> Lesson:
        drawn = random.random()
        if drawn < of_equations:
            return equations_lesson([random.choice(known) for _ in range(EQUATIONS_A_LESSON)])
        return random.choice(foreign if drawn >= 1 - of_foreign else english)

    return draw


def _save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
