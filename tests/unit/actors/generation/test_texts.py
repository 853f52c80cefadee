"""Test that a response decoded as a whole is the same text as one that is decoded token by token."""

import random
from collections.abc import Sequence

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.decoders import DecodeStream
from tokenizers.trainers import BpeTrainer

from actors.generation.texts import REPLACEMENT, ResponseTexts

TEXTS = (
    "She had 5 apples and bought 6 more: 5 + 6 = 11.",
    "नमस्ते, आप कैसे हैं? उत्तर 11 है।",
    "答えは11です。🙂👩‍👩‍👧 ครับ",
    "Ответ:   11\n\n\tfin ",
)


def byte_level() -> Tokenizer:
    """Return a tokenizer of bytes, as of Llama 3 and Qwen: with few merges, most characters are several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
    return tokenizer


def with_byte_fallback() -> Tokenizer:
    """Return a tokenizer of characters with bytes for the others, as of Llama 2 and Gemma; spaces are "▁"."""
    characters = dict.fromkeys("▁" + "".join(sorted(set("".join(TEXTS[:1]) + "答えは"))))
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *characters, "▁a", "▁5", "▁b"]
    merges = [("▁", "a"), ("▁", "5"), ("▁", "b")]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
    return tokenizer


TOKENIZERS = {"byte-level": byte_level(), "byte fallback": with_byte_fallback()}


class OneByOne:
    """Decode token by token as vLLM does, and count the responses."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.num_responses = 0

    def __call__(self, prompt: Sequence[int], tokens: Sequence[int]) -> str:
        self.num_responses += 1
        stream, text = DecodeStream(ids=list(prompt), skip_special_tokens=True), ""
        for token in tokens:
            try:
                text += stream.step(self.tokenizer, token) or ""
            except Exception as failure:  # noqa: BLE001 - the library has no class of its own for it
                assert "Invalid prefix" in str(failure)
                stream = DecodeStream(skip_special_tokens=True)
                text += stream.step(self.tokenizer, token) or ""
        return text


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("text", TEXTS)
def test_whole_texts_are_decoded_at_once(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    prompt, tokens = tokenizer.encode("5 apples").ids, tokenizer.encode(f" {text}").ids
    one_by_one = OneByOne(tokenizer)
    expected = one_by_one(prompt, tokens)
    assert ResponseTexts(fast=tokenizer, one_by_one=one_by_one).of_response(prompt, tokens) == expected
    assert one_by_one.num_responses == 1 and text.strip() in expected


@pytest.mark.parametrize("name", TOKENIZERS)
def test_any_tokens_give_the_same_text_as_one_by_one(name: str) -> None:
    tokenizer, draw = TOKENIZERS[name], random.Random(5)
    size, num_whole = tokenizer.get_vocab_size(), 0
    for _ in range(2000):
        prompt = [draw.randrange(size) for _ in range(draw.randrange(1, 4))]
        tokens = [draw.randrange(size) for _ in range(draw.randrange(0, 7))]
        one_by_one = OneByOne(tokenizer)
        found = ResponseTexts(fast=tokenizer, one_by_one=one_by_one).of_response(prompt, tokens)
        num_whole += bool(tokens) and one_by_one.num_responses == 0
        assert found == one_by_one(prompt, tokens), (prompt, tokens)
    assert num_whole > 50  # the comparison was not only of the slow way with itself


def test_a_text_that_ends_within_a_character_leaves_that_character_out() -> None:
    tokenizer = TOKENIZERS["byte-level"]
    tokens = tokenizer.encode("11 🙂").ids
    cut = tokens[:-1]
    assert ResponseTexts(fast=tokenizer, one_by_one=OneByOne(tokenizer)).of_response([1], cut) == "11 "
    assert REPLACEMENT in tokenizer.decode(cut)


def test_without_a_decoder_for_whole_responses_tokens_are_decoded_one_by_one() -> None:
    tokenizer = TOKENIZERS["byte-level"]
    one_by_one = OneByOne(tokenizer)
    tokens = tokenizer.encode("11").ids
    assert ResponseTexts(fast=None, one_by_one=one_by_one).of_response([1], tokens) == "11"
    assert one_by_one.num_responses == 1


def test_special_tokens_and_no_tokens_are_no_text() -> None:
    tokenizer = TOKENIZERS["byte-level"]
    end = tokenizer.token_to_id("<|end|>")
    texts = ResponseTexts(fast=tokenizer, one_by_one=OneByOne(tokenizer))
    assert texts.of_response([1], []) == ""
    tokens = [*tokenizer.encode("1").ids, end, *tokenizer.encode("2").ids]
    assert texts.of_response([1], tokens) == "12"
