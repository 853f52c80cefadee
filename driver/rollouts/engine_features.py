"""Ask the run's engines for the inputs of a reward that no text holds: translations, or answer probabilities.

There are two features: the pivot's English translation of each reasoning, and the probability that the policy gives to
the pivot's answer after each of its own reasonings. Texts are read in the same way as the scorer reads them. No gold
answer is used here.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from contracts.config.data import PromptConfig
from contracts.config.reward import LikelihoodReasoning, TranslationReasoning
from contracts.config.run import Config
from contracts.config.workers import EngineConfig
from contracts.ports import AnswerLikelihood, Generator
from contracts.rollouts import AnswerProbabilityRequest, Group, Reference, Rollout, SamplingRequest, ScoreRequest
from driver.problems.chat_template import ChatTemplate
from driver.problems.prompts import load_tokenizer
from driver.problems.template_inputs import TemplateInputs
from driver.problems.wording import Wording
from languages.facts import LANGUAGES
from rewards.reading import PIVOT_LANGUAGE, Reading, read_group
from rewards.texts.clean import clean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TranslationPrompt = Callable[[str, str], tuple[int, ...]]
"""(text, its language) -> prompt token ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFeatures:
    """Hold the features of a group, one entry a response; empty if the reward does not need the feature."""

    translations: tuple[str, ...] = ()  # [N] of each reasoning into English; "" if there is none
    answer_probabilities: tuple[float, ...] = ()  # [N] in [0, 1]; NaN if unknown


@dataclass(frozen=True, kw_only=True)
class PivotTranslations:
    """Translate reasonings into English with the pivot's engine, greedily.

    The pivot reads what the policy wrote. So a response may contain instructions to the pivot, and the pivot may
    correct mistakes while it translates.
    """

    pivot: Generator
    prompt: TranslationPrompt
    max_model_len: int  # tokens, of the pivot
    max_tokens: int  # of a translation
    skips_truncated: bool = True  # set it if a gate gives truncated responses a reward of 0 anyway
    with_thinking: bool = False  # the thinking is part of the reasoning that is compared

    async def of_group(self, group: Group, reference: Reference) -> tuple[str, ...]:
        """Return the English reasoning of each response [N]; "" for a skipped one and for one without translation.

        Raises:
            RunFailed: the pivot's workers failed.
        """
        texts = tuple(rollout.text for rollout in group.rollouts)
        reasonings = [
            ""
            if reading.is_truncated and self.skips_truncated
            else reading.compared_reasoning(with_thinking=self.with_thinking)
            for reading in _read(group, reference, texts)
        ]
        return await self.translate(reasonings, source=group.problem.language, name=group.group_id)

    async def translate(self, texts: Sequence[str], *, source: str, name: str) -> tuple[str, ...]:
        """Return the English of each text [N]. Each distinct text is asked for once.

        The result is "" for an empty text, for one whose prompt leaves no room for an answer, and for a translation
        that was cut off. `name` makes the request ids of this call different from those of all others.

        Raises:
            RunFailed: the pivot's workers failed.
        """
        if source == PIVOT_LANGUAGE:
            return tuple(texts)
        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        requests = [
            self._request(text, source=source, request_id=f"translation/{name}/{index}")
            for index, text in enumerate(distinct)
        ]
        translated = dict(zip(distinct, await asyncio.gather(*map(self._answer, requests)), strict=True))
        return tuple(translated.get(text, "") for text in texts)

    def _request(self, text: str, *, source: str, request_id: str) -> SamplingRequest:
        prompt_token_ids = self.prompt(text, source)
        return SamplingRequest(
            request_id=request_id,
            prompt_token_ids=prompt_token_ids,
            seeds=(0,),  # without effect at temperature 0
            max_tokens=min(self.max_tokens, self.max_model_len - len(prompt_token_ids)),
            temperature=0.0,
        )

    async def _answer(self, request: SamplingRequest) -> str:
        if request.max_tokens < 1:
            return ""
        (rollout,) = await self.pivot.sample(request)
        return "" if rollout.is_truncated else rollout.text.strip()


@dataclass(frozen=True, kw_only=True)
class PolicyAnswerLikelihood:
    """Ask how probable the pivot's answer is to the policy after each of its own reasonings.

    The idea is RLPR's (arXiv 2506.18254). The policy is given the prompt, the response's own tokens up to the end of
    its reasoning, the closing phrase of its language on a line of its own, and then the pivot's answer in its canonical
    form.
    """

    likelihood: AnswerLikelihood
    tokenizer: "PreTrainedTokenizerBase"  # of the policy
    wording: PromptConfig = field(default_factory=PromptConfig)  # how an answer is asked for

    async def of_group(self, group: Group, reference: Reference) -> tuple[float, ...]:
        """Return the mean probability of the answer's tokens after each reasoning [N].

        It is NaN if the pivot declares no answer, or if the answer does not fit into the policy's context.

        Raises:
            RunFailed: the policy's workers failed.
        """
        # The tokenizer's own text, not the engine's: the two may differ in bytes that are not text, and below a
        # position among the tokens is searched.
        texts = tuple(self._decode(rollout.token_ids[rollout.num_thinking_tokens :]) for rollout in group.rollouts)
        readings = _read(group, reference, texts)
        answer = readings[0].task.reference_answer
        if answer is None:
            return (math.nan,) * len(readings)
        phrase, answer_token_ids = self._closing(group.problem.language, answer)
        reasonings = [
            self._up_to(reading.reasoning, rollout) for reading, rollout in zip(readings, group.rollouts, strict=True)
        ]
        request = AnswerProbabilityRequest(
            request_id=f"answer/{group.group_id}",
            prompts=tuple(group.prompt_token_ids + reasoning + phrase for reasoning in reasonings),
            answer_token_ids=answer_token_ids,
        )
        return await self.likelihood.answer_probabilities(request)

    def _up_to(self, reasoning: str, rollout: Rollout) -> tuple[int, ...]:
        """Return the shortest prefix of the response's tokens [T] that holds its thinking and its reasoning.

        Own tokens, because decoding and encoding again could give others.
        """
        token_ids, thinking = rollout.token_ids, rollout.num_thinking_tokens
        fewest, most = thinking, len(token_ids)
        while fewest < most:
            middle = (fewest + most) // 2
            if clean(self._decode(token_ids[thinking:middle])).lstrip().startswith(reasoning):
                most = middle
            else:
                fewest = middle + 1
        return token_ids[:fewest]

    def _closing(self, language: str, answer: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the tokens of the closing phrase up to the answer, and the tokens of the answer.

        They are encoded together, because many tokenizers put the space before a word or a number into its token.
        """
        phrase = "\n" + Wording.of(self.wording, LANGUAGES[language]).closing.partition("{answer}")[0]
        token_ids = tuple(cast("list[int]", self.tokenizer.encode(phrase + answer, add_special_tokens=False)))
        cut = len(token_ids)
        while len(self._decode(token_ids[:cut])) > len(phrase):
            cut -= 1
        return token_ids[:cut], token_ids[cut:]

    def _decode(self, token_ids: Sequence[int]) -> str:
        text = self.tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return cast("str", text)


@dataclass(frozen=True, kw_only=True)
class EngineFeatureSource:
    """Ask the engines for the features that the configured reward needs."""

    translations: PivotTranslations | None = None
    likelihood: PolicyAnswerLikelihood | None = None

    async def of_group(self, group: Group, reference: Reference) -> EngineFeatures:
        """Return the features of a group.

        Call it before the policy's weights change: the probabilities are those of the weights that it serves now.

        Raises:
            RunFailed: an engine failed.
        """
        return EngineFeatures(
            translations=await self.translations.of_group(group, reference) if self.translations else (),
            answer_probabilities=await self.likelihood.of_group(group, reference) if self.likelihood else (),
        )


def engine_feature_source(config: Config, *, policy: AnswerLikelihood, pivot: Generator) -> EngineFeatureSource | None:
    """Return the source of the features that the configured reward needs, or None if it needs none.

    Raises:
        BadInput: the tokenizer of the engine can't be loaded.
    """
    match config.reward.reasoning:
        case LikelihoodReasoning():
            return EngineFeatureSource(
                likelihood=PolicyAnswerLikelihood(
                    likelihood=policy, tokenizer=_tokenizer(config.policy, "policy"), wording=config.prompt
                )
            )
        case TranslationReasoning(translator="pivot"):
            return EngineFeatureSource(
                translations=PivotTranslations(
                    pivot=pivot,
                    prompt=translation_prompt(
                        _tokenizer(config.pivot, "pivot"), TemplateInputs.of(config.pivot, config.run)
                    ),
                    max_model_len=config.pivot.max_model_len,
                    max_tokens=config.pivot.max_response_tokens,
                    skips_truncated=config.reward.gates.truncation,
                    with_thinking=config.reward.thinking == "judged",
                )
            )
        case _:
            return None


def translation_prompt(
    tokenizer: "PreTrainedTokenizerBase", inputs: TemplateInputs | None = None, *, target: str = PIVOT_LANGUAGE
) -> TranslationPrompt:
    """Return the function that asks a chat model for a translation: one user turn, with the model's chat template."""

    template = ChatTemplate(tokenizer, inputs)

    def encode(text: str, language: str) -> tuple[int, ...]:
        wanted = (
            f"Translate this {LANGUAGES[language].name} text into {LANGUAGES[target].name}, sentence by sentence. Keep "
            "every number and formula as it is. Correct nothing, add nothing and leave nothing out. Write only the "
            "translation."
        )
        chat = [{"role": "user", "content": f"{wanted}\n\n{text}"}]
        rendered = template.render(chat, section="pivot", is_open=True)
        return template.encode(rendered)

    return encode


def _tokenizer(engine: EngineConfig, section: str) -> "PreTrainedTokenizerBase":
    return load_tokenizer(
        engine.model, chat_template=engine.chat_template, trust_remote_code=engine.trust_remote_code, section=section
    )


def _read(group: Group, reference: Reference, texts: tuple[str, ...]) -> list[Reading]:
    """Read the group in the same way as the scorer will."""
    return read_group(
        ScoreRequest(
            language=group.problem.language,
            question=group.problem.question,
            question_en=group.problem.question_en,
            reference=reference.text,
            responses=texts,
            truncated=tuple(rollout.is_truncated for rollout in group.rollouts),
            thinking=tuple(rollout.thinking for rollout in group.rollouts),
        )
    )
