"""Ask for translations: the scorers' seq2seq model, or the pivot's engine."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from contracts.ports import Generator
from contracts.rollouts import SamplingRequest
from driver.problems.template_inputs import TemplateInputs
from driver.rollouts.engine_features import TranslationPrompt, translation_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Translates(Protocol):
    """Translate texts from one language into another."""

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return one translation for each text, in order; "" where there is none."""
        ...


@dataclass(frozen=True, kw_only=True)
class EngineTranslator:
    """Translate with the pivot's engine, greedily."""

    pivot: Generator
    prompt: Callable[[str], TranslationPrompt]  # by the language to translate into
    max_model_len: int  # tokens, of the pivot
    max_tokens: int  # of a translation
    numbers: "count[int]"  # of requests, which all have names of their own

    @classmethod
    def of(
        cls,
        pivot: Generator,
        tokenizer: "PreTrainedTokenizerBase",
        inputs: TemplateInputs,
        *,
        max_model_len: int,
        max_tokens: int,
    ) -> "EngineTranslator":
        """Return the translator of an engine whose model has this tokenizer."""
        return cls(
            pivot=pivot,
            prompt=lambda target: translation_prompt(tokenizer, inputs, target=target),
            max_model_len=max_model_len,
            max_tokens=max_tokens,
            numbers=count(),
        )

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return one translation for each text, in order.

        It is "" for a text whose prompt leaves no room for an answer, and for a translation that was cut off.

        Raises:
            RunFailed: the pivot's workers failed.
        """
        prompt = self.prompt(target)
        return list(await asyncio.gather(*(self._one(prompt(text, source)) for text in texts)))

    async def _one(self, prompt_token_ids: tuple[int, ...]) -> str:
        max_tokens = min(self.max_tokens, self.max_model_len - len(prompt_token_ids))
        if max_tokens < 1:
            return ""
        request = SamplingRequest(
            request_id=f"translate/{next(self.numbers)}",
            prompt_token_ids=prompt_token_ids,
            seeds=(0,),  # without effect at temperature 0
            max_tokens=max_tokens,
            temperature=0.0,
        )
        (rollout,) = await self.pivot.sample(request)
        return "" if rollout.is_truncated else rollout.text.strip()
