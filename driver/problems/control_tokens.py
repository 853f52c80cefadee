"""Keep control tokens that a text spells, such as <|im_start|>, from becoming control tokens when a prompt is encoded.

Each is marked after its first character before the chat is rendered, and what was rendered is encoded in the pieces
between the marks: no piece holds a whole control token, and all of the text is there.
"""

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "\ufdd0"
"""A code point that is no character (Unicode Standard 23.7), so that no text has it."""


class ControlTokens:
    """Know the control tokens of a tokenizer: its special tokens, and other added ones that its template writes."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", template: str) -> None:
        self._tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        words = {token.content for token in added if token.special or (token.content in template)}
        found = sorted((word for word in words if len(word.strip()) > 1), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    def marked(self, text: str) -> str:
        """Return the text with a mark inside of every control token that it spells."""
        text = text.replace(MARK, "")
        while self._pattern is not None and self._pattern.search(text):
            text = self._pattern.sub(lambda match: f"{match[0][0]}{MARK}{match[0][1:]}", text)
        return text

    def encode(self, rendered: str) -> list[int]:
        """Return the tokens of a rendered chat; what is marked in it is text."""
        pieces = rendered.split(MARK)
        return [
            token_id
            for piece in pieces
            for token_id in cast("list[int]", self._tokenizer.encode(piece, add_special_tokens=False))
        ]
