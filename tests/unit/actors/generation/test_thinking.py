"""Test how a rollout is divided into thinking and answer, on tokenizers of one token a word."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from actors.generation.thinking import ThinkingReader
from contracts.rollouts import Rollout
from tests.builders import a_rollout

MARKERS = (("<think>", "</think>"),)


@dataclass
class Words:
    """Encode each word, number or mark as one token; `special` ones are left out of texts."""

    special: Sequence[str] = ()
    vocabulary: list[str] = field(default_factory=list)

    @property
    def all_special_ids(self) -> list[int]:
        return [self._id(word) for word in self.special]

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [self._id(word) for word in re.findall(r"</?think>|\s*\w+|\s*\W", text)]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str:
        words = [self.vocabulary[token] for token in token_ids]
        return "".join(word for word in words if not (skip_special_tokens and word in self.special))

    def _id(self, word: str) -> int:
        if word not in self.vocabulary:
            self.vocabulary.append(word)
        return self.vocabulary.index(word)


def divided(text: str, *, prompt: str = "Frage", special: Sequence[str] = ()) -> Rollout:
    tokenizer = Words(special=special)
    token_ids = tokenizer.encode(text, add_special_tokens=False)
    rollout = a_rollout(tokenizer.decode(token_ids, skip_special_tokens=True), token_ids=token_ids)
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    return ThinkingReader.of(tokenizer, MARKERS).divided(rollout, prompt_ids)


@pytest.mark.parametrize("special", [(), ("<think>", "</think>"), ("</think>",)])
def test_thinking_is_taken_out_of_the_text_and_its_tokens_are_counted(special: Sequence[str]) -> None:
    rollout = divided("<think> vier und eins</think> Es sind 5", special=special)
    assert (rollout.thinking, rollout.text) == ("vier und eins", "Es sind 5")
    assert (rollout.num_thinking_tokens, len(rollout.token_ids)) == (5, 8)


def test_a_response_without_thinking_is_the_same_object() -> None:
    tokenizer = Words()
    rollout = a_rollout("Es sind 5", token_ids=tokenizer.encode("Es sind 5", add_special_tokens=False))
    assert ThinkingReader.of(tokenizer, MARKERS).divided(rollout, (0,)) is rollout


def test_a_prompt_that_ends_with_the_opening_marker_begins_the_thinking() -> None:
    rollout = divided("vier</think> Es sind 5", prompt="Frage <think>\n")
    assert (rollout.thinking, rollout.text, rollout.num_thinking_tokens) == ("vier", "Es sind 5", 2)


def test_thinking_that_is_cut_off_is_all_of_the_response() -> None:
    for text, prompt in (("vier und", "Frage <think>"), ("<think> vier und", "Frage")):
        rollout = divided(text, prompt=prompt)
        assert (rollout.thinking, rollout.text) == ("vier und", "")
        assert rollout.num_thinking_tokens == len(rollout.token_ids)


def test_a_prompt_with_a_closed_block_begins_no_thinking() -> None:
    rollout = divided("Es sind 5", prompt="Frage <think></think>")
    assert (rollout.thinking, rollout.text, rollout.num_thinking_tokens) == ("", "Es sind 5", 0)
