"""Decode a finished response as a whole, to the same text as vLLM's decoding token by token.

vLLM would decode every token in the step that draws it, between two steps of the GPU. Decoding all of them at the end
costs a hundredth of that. Must not import vLLM: the engine gives the slow way as a function.
"""

from collections.abc import Callable, Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

OneByOne = Callable[[Sequence[int], Sequence[int]], str]
"""(prompt token ids [P], response token ids [T]) -> the text of the response, decoded token by token."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are no text."""
INVALID_PREFIX = "Invalid prefix encountered"
"""How the library's error begins where further bytes change the text of those before them."""


def response_text(
    prompt_token_ids: Sequence[int], token_ids: Sequence[int], *, tokenizer: Tokenizer | None, one_by_one: OneByOne
) -> str:
    """Return the text of a response, without special tokens.

    Args:
        prompt_token_ids: [P] what comes before: the first token of a response may begin with a space.
        token_ids: [T] of the response, without the token that ended it.
        tokenizer: that decodes in one call; None: the model's has no such call.
        one_by_one: decodes the responses that contain bytes that are no text. Decoded as a whole, the number of
            replacement characters differs.
    """
    if not token_ids:
        return ""
    text = None if tokenizer is None else _at_once(prompt_token_ids, token_ids, tokenizer)
    return one_by_one(prompt_token_ids, token_ids) if text is None or REPLACEMENT in text else text


def _at_once(prompt_token_ids: Sequence[int], token_ids: Sequence[int], tokenizer: Tokenizer) -> str | None:
    """Return the text; None if it ends within a character, or changes what the prompt's tokens mean."""
    try:
        return DecodeStream(ids=list(prompt_token_ids), skip_special_tokens=True).step(tokenizer, list(token_ids))
    except Exception as failure:
        if not str(failure).startswith(INVALID_PREFIX):  # the library has no class of its own for it
            raise
        return None
