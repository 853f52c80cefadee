"""Test how the tokens that end a response are looked up."""

from dataclasses import dataclass

from contracts.stop_tokens import token_ids_of
from tests.refusals import refused


@dataclass
class Letters:
    """Encode <end> as 1 and every other character by its code."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [1] if text == "<end>" else [ord(character) for character in text]


def test_each_token_has_one_id() -> None:
    assert token_ids_of(Letters(), ("<end>", "a")) == (1, 97)
    assert token_ids_of(Letters(), ()) == ()


def test_a_text_of_several_tokens_is_refused_by_its_key() -> None:
    with refused("policy.stop_tokens", "<stop>"):
        token_ids_of(Letters(), ("<end>", "<stop>"), key="policy.stop_tokens")
