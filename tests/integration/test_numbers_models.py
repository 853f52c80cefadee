"""Test the command that trains the models of the numbers experiment, on courses of a few steps."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from driver.problems.builtin.generate import builtin_items
from quickstart.numbers.build import PIVOT, POLICY, Courses, build_models
from quickstart.numbers.lessons import LANGUAGES_KNOWN, LEVELS, problem_lesson
from quickstart.numbers.training import Course

SHORT = Course(steps=12, batch_size=16, warmup_steps=2)
COURSES = Courses(
    common=SHORT, pivot=SHORT, pivot_last=SHORT, policy=SHORT, policy_last=SHORT, num_english=300, num_foreign=(4, 4)
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build_models(folder, COURSES)
    return folder


@pytest.fixture(scope="module")
def tokenizer(models: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(models / POLICY)


def weights(folder: Path) -> list[torch.Tensor]:
    return list(LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).parameters())


def test_the_same_command_makes_the_same_models(models: Path, tmp_path: Path) -> None:
    build_models(tmp_path, COURSES)
    for name in (PIVOT, POLICY):
        assert all(
            torch.equal(one, two) for one, two in zip(weights(models / name), weights(tmp_path / name), strict=True)
        )


def test_policy_and_pivot_differ_in_their_weights_only(models: Path) -> None:
    assert not all(
        torch.equal(one, two) for one, two in zip(weights(models / PIVOT), weights(models / POLICY), strict=True)
    )
    assert (models / PIVOT / "tokenizer.json").read_bytes() == (models / POLICY / "tokenizer.json").read_bytes()
    assert all((models / name / "model.safetensors").stat().st_size < 2_000_000 for name in (PIVOT, POLICY))


def test_models_that_are_there_are_not_trained_again(models: Path) -> None:
    before = (models / POLICY / "model.safetensors").stat().st_mtime_ns
    build_models(models, Courses())
    assert (models / POLICY / "model.safetensors").stat().st_mtime_ns == before


def test_a_number_is_one_token_and_no_text_is_lost(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("Lena has 23 apples.")[-3] == "Ġ23"
    for item in builtin_items(seed=7, split="test", num_items=12, levels=LEVELS):
        for language in LANGUAGES_KNOWN:
            text = item.text(language).question
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_lesson_asks_as_a_run_asks(tokenizer: PreTrainedTokenizerFast) -> None:
    """The prompt that was learned is the chat template's, with the question's prefix and no instruction."""
    (item,) = builtin_items(seed=7, split="test", num_items=1, levels=LEVELS)
    ((given, _),) = problem_lesson(item, asked_in="en", answered_in="en").pieces
    chat = [{"role": "user", "content": f"Question: {item.text('en').question}"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == given
