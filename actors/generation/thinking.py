"""Divide a response's text and tokens into thinking and answer, where the engine's model thinks.

Must not import vLLM or transformers: the tokenizer is described by a Protocol.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from contracts.rollouts import Rollout
from rewards.texts.thinking import Markers, answer_start, without_markers

PROMPT_TAIL = 32
"""Tokens at the end of a prompt that are searched for an opening marker: more than any marker has."""


class Tokenizer(Protocol):
    """What is asked of a tokenizer."""

    @property
    def all_special_ids(self) -> Sequence[int]: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str: ...


@dataclass(frozen=True, slots=True)
class ThinkingReader:
    """Find the thinking in responses."""

    tokenizer: Tokenizer
    markers: Markers
    are_special: bool  # some marker has special tokens, which an engine leaves out of its texts

    @classmethod
    def of(cls, tokenizer: Tokenizer, markers: Markers) -> "ThinkingReader":
        """Return the reader of a model."""
        special = set(tokenizer.all_special_ids)
        tokens = {
            token for pair in markers for marker in pair for token in tokenizer.encode(marker, add_special_tokens=False)
        }
        return cls(tokenizer, markers, are_special=bool(special & tokens))

    def divided(self, rollout: Rollout, prompt_token_ids: Sequence[int]) -> Rollout:
        """Return the rollout with its thinking apart; as it is where there is none.

        Args:
            rollout: as the engine gave it, its text with thinking and answer.
            prompt_token_ids: [P] the prompt: it may end with an opening marker.
        """
        text = self._decode(rollout.token_ids, skip=False) if self.are_special else rollout.text
        start = answer_start(text, self.markers, starts_inside=self._opens(prompt_token_ids))
        if start == 0:
            return rollout
        # A closing marker at the very end, or none at all, leaves no answer.
        num_tokens = self._tokens_before(start, rollout.token_ids) if start < len(text) else len(rollout.token_ids)
        answer = self._decode(rollout.token_ids[num_tokens:], skip=True) if self.are_special else text[start:]
        return replace(
            rollout,
            text=answer.lstrip(),
            thinking=without_markers(text[:start], self.markers),
            num_thinking_tokens=num_tokens,
        )

    def _opens(self, prompt_token_ids: Sequence[int]) -> bool:
        """Return whether a prompt [P] ends inside thinking."""
        tail = self._decode(prompt_token_ids[-PROMPT_TAIL:], skip=False).rstrip()
        return any(tail.endswith(opening) for opening, _ in self.markers)

    def _tokens_before(self, start: int, token_ids: Sequence[int]) -> int:
        """Return the fewest tokens whose text has at least `start` characters."""
        fewest, most = 0, len(token_ids)
        while fewest < most:
            middle = (fewest + most) // 2
            if len(self._decode(token_ids[:middle], skip=not self.are_special)) >= start:
                most = middle
            else:
                fewest = middle + 1
        return fewest

    def _decode(self, token_ids: Sequence[int], *, skip: bool) -> str:
        return self.tokenizer.decode(list(token_ids), skip_special_tokens=skip)
