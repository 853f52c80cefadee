"""Decode a finished response as a whole, to the same text as vLLM's decoding token by token.

vLLM would decode every token in the step that draws it, while the GPU waits for the next step. Decoding all of them at
the end is one call. Must not import vLLM: the engine brings the decoding token by token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are no text."""
INVALID_PREFIX = "Invalid prefix encountered"
"""How the library's error begins where further bytes change the text of those before them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponseTexts:
    """Decode the responses of one model, without special tokens."""

    fast: Tokenizer | None  # decodes in one call; None: the model's tokenizer has no such call
    one_by_one: Callable[[Sequence[int], Sequence[int]], str]
    """(prompt token ids [P], response token ids [T]) -> the text, decoded token by token."""

    def of_response(self, prompt_token_ids: Sequence[int], token_ids: Sequence[int]) -> str:
        """Return the text of a response.

        Bytes that are no text are decoded token by token: as a whole they may be replaced by another number of
        characters.

        Args:
            prompt_token_ids: [P] what comes before: the first token of a response may begin with a space.
            token_ids: [T] of the response, without the token that ended it.
        """
        if not token_ids:
            return ""
        text = None if self.fast is None else _at_once(prompt_token_ids, token_ids, self.fast)
        return self.one_by_one(prompt_token_ids, token_ids) if text is None or REPLACEMENT in text else text


def _at_once(prompt_token_ids: Sequence[int], token_ids: Sequence[int], tokenizer: Tokenizer) -> str | None:
    """Return the text; None if it ends within a character, or changes what the prompt's tokens mean."""
    try:
        return DecodeStream(ids=list(prompt_token_ids), skip_special_tokens=True).step(tokenizer, list(token_ids))
    except Exception as failure:
        if not str(failure).startswith(INVALID_PREFIX):  # the library has no class of its own for it
            raise
        return None
