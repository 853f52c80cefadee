"""Measure the quickstart's two trained models, and test the command that made them, on courses of a few steps."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from driver.problems.builtin.generate import BuiltinItem, builtin_items
from quickstart.__main__ import KEPT
from quickstart.numbers.build import PIVOT, POLICY, Courses, build_models
from quickstart.numbers.lessons import LANGUAGES_KNOWN, LEVELS, POLICY_LEVELS, problem_lesson
from quickstart.numbers.training import Course

NUM_ITEMS = 96
SHORT = Course(steps=12, batch_size=16, warmup_steps=2)
COURSES = Courses(
    english=SHORT, english_last=SHORT, policy=SHORT, num_english=300, num_english_again=300, num_foreign=4
)


@pytest.fixture(scope="module")
def items() -> list[BuiltinItem]:
    return list(builtin_items(seed=1000, split="test", num_items=NUM_ITEMS, levels=POLICY_LEVELS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build_models(folder, COURSES)
    return folder


def solved(folder: Path, items: Sequence[BuiltinItem], language: str) -> float:
    """Return the share of items that are solved, greedily, exactly as the problem set words it."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    pieces = [problem_lesson(item, asked_in=language, answered_in=language).pieces[0] for item in items]
    prompts = tokenizer([given for given, _ in pieces], add_special_tokens=False, padding=True, return_tensors="pt")
    drawn = model.generate(  # pyright: ignore[reportAttributeAccessIssue] - its own types don't fit its own model
        **prompts, max_new_tokens=48, do_sample=False
    )
    texts = tokenizer.batch_decode(drawn[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    wanted = [text.removesuffix("<|end|>") for _, text in pieces]
    return sum(text == one for text, one in zip(texts, wanted, strict=True)) / len(items)


def weights(folder: Path) -> list[torch.Tensor]:
    return list(LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).parameters())


def test_the_pivot_solves_new_problems_in_english(items: list[BuiltinItem]) -> None:
    assert solved(KEPT / PIVOT, items, "en") >= 0.95


def test_the_policy_keeps_english_and_is_clearly_worse_elsewhere(items: list[BuiltinItem]) -> None:
    assert solved(KEPT / POLICY, items, "en") >= 0.9
    others = [solved(KEPT / POLICY, items, language) for language in LANGUAGES_KNOWN if language != "en"]
    assert 0.2 <= sum(others) / len(others) <= 0.7


@pytest.mark.parametrize("kept", [True, False])
def test_both_models_read_the_same_tokens_and_are_small(made: Path, kept: bool) -> None:
    folder = KEPT if kept else made
    pivot, policy = ((folder / name / "tokenizer.json").read_bytes() for name in (PIVOT, POLICY))
    assert pivot == policy
    assert all((folder / name / "model.safetensors").stat().st_size < 2_000_000 for name in (PIVOT, POLICY))


def test_the_kept_models_have_the_tokenizer_that_the_command_makes(made: Path) -> None:
    assert (KEPT / POLICY / "tokenizer.json").read_bytes() == (made / POLICY / "tokenizer.json").read_bytes()


def test_the_same_command_makes_the_same_models(made: Path, tmp_path: Path) -> None:
    build_models(tmp_path, COURSES)
    for name in (PIVOT, POLICY):
        assert all(
            torch.equal(one, two) for one, two in zip(weights(made / name), weights(tmp_path / name), strict=True)
        )


def test_policy_and_pivot_differ_in_their_weights(made: Path) -> None:
    assert not all(
        torch.equal(one, two) for one, two in zip(weights(made / PIVOT), weights(made / POLICY), strict=True)
    )


def test_models_that_are_there_are_not_trained_again(made: Path) -> None:
    before = (made / POLICY / "model.safetensors").stat().st_mtime_ns
    build_models(made, Courses())
    assert (made / POLICY / "model.safetensors").stat().st_mtime_ns == before


def test_a_number_is_one_token_and_no_text_is_lost() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(KEPT / POLICY)
    assert tokenizer.tokenize("Lena has 23 apples.")[-3] == "Ġ23"
    for item in builtin_items(seed=7, split="test", num_items=12, levels=LEVELS):
        for language in LANGUAGES_KNOWN:
            text = item.text(language).question
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_lesson_asks_as_a_run_asks() -> None:
    """The prompt that was learned is the chat template's, with the question's prefix and no instruction."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(KEPT / POLICY)
    (item,) = builtin_items(seed=7, split="test", num_items=1, levels=LEVELS)
    ((given, _),) = problem_lesson(item, asked_in="en", answered_in="en").pieces
    chat = [{"role": "user", "content": f"Question: {item.text('en').question}"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == given
