"""Train the tokenizer of the numbers models: byte-level BPE in which every number is one token.

A number with the space before it is one token up to `LARGEST`. So a model of a million parameters reads and writes a
number in one piece, and the same piece in every language whose texts set numbers off by spaces.
"""

import json
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 2048
LARGEST = 399
POSITIONS = 256
PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL = (PAD, USER, ASSISTANT, END)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPACE = "Ġ"  # how byte-level BPE writes a space


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose words are learned from `texts`. The same texts give the same tokenizer."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = _pre_tokenizer()
    numbers = _number_merges()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(numbers),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator((_without_numbers(text) for text in texts), trainer=trainer)
    return _fast(_with_numbers(words, numbers))


def number_token(number: int) -> str:
    """Return the token of a number that follows a space."""
    return f"{SPACE}{number}"


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Return the splitting into numbers (each with its space) and words."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )


def _number_merges() -> list[tuple[str, str]]:
    """Return the merges that make every number up to `LARGEST` one token: digit after digit, behind the space."""
    merges: list[tuple[str, str]] = []
    for number in range(LARGEST + 1):
        digits = str(number)
        merges.append((SPACE + digits[:-1], digits[-1]))
    return merges


def _without_numbers(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())


def _with_numbers(words: Tokenizer, numbers: list[tuple[str, str]]) -> Tokenizer:
    """Return the tokenizer with the numbers' merges before the words' merges."""
    state = json.loads(words.to_str())
    vocabulary: dict[str, int] = state["model"]["vocab"]
    for left, right in numbers:
        vocabulary.setdefault(left + right, len(vocabulary))
    state["model"]["merges"] = [list(merge) for merge in numbers] + state["model"]["merges"]
    return Tokenizer.from_str(json.dumps(state))


def _fast(made: Tokenizer) -> PreTrainedTokenizerFast:
    made.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],
        eos_token=END,
        pad_token=PAD,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
