"""Look up the tokens that end a response, by how they are spelled.

The driver checks them before anything starts, and an engine looks them up again in its own tokenizer.
"""

from collections.abc import Sequence
from typing import Protocol

from contracts.errors import BadInput


class Encoder(Protocol):
    """What is asked of a tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


def token_ids_of(tokenizer: Encoder, tokens: Sequence[str], *, key: str = "stop_tokens") -> tuple[int, ...]:
    """Return the id of each token.

    Raises:
        BadInput: a text is not exactly one token.
    """
    found = {token: tokenizer.encode(token, add_special_tokens=False) for token in tokens}
    for token, token_ids in found.items():
        if len(token_ids) != 1:
            raise BadInput(
                f"{key}: {token!r} is {len(token_ids)} tokens of this model; name one token as the tokenizer spells it",
                key=key,
            )
    return tuple(token_ids[0] for token_ids in found.values())
