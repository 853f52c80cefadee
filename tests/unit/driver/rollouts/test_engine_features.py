"""Test engine features on fakes and a real byte-level tokenizer: what is asked, token by token."""

import asyncio
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from contracts.config.run import Config
from contracts.rollouts import (
    AnswerProbabilityRequest,
    FinishReason,
    Group,
    Reference,
    Rollout,
    SamplingRequest,
)
from driver.rollouts.engine_features import (
    EngineFeatures,
    EngineFeatureSource,
    PivotTranslations,
    PolicyAnswerLikelihood,
    engine_feature_source,
    translation_prompt,
)
from tests.builders import a_config, a_problem, a_reference, a_rollout
from tests.fakes.ports import run, token_ids
from tests.refusals import refused

GERMAN = "Tom hat 3 Äpfel.\n3 + 4 = 7"
PROMPT = (1000, 1001)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token a byte, but one for " 7", an end of sequence and the simplest template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate([*alphabet, "Ġ7"])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "7")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    tokenizer.chat_template = "{% for message in messages %}<{{ message.content }}>{% endfor %}"
    return tokenizer


TOKENIZER = byte_tokenizer()


def encode(text: str) -> tuple[int, ...]:
    return tuple(cast("list[int]", TOKENIZER.encode(text, add_special_tokens=False)))


def decode(ids: tuple[int, ...]) -> str:
    return cast("str", TOKENIZER.decode(list(ids), skip_special_tokens=True))


def rollout(text: str, *, finish_reason: FinishReason = "stop", ids: tuple[int, ...] | None = None) -> Rollout:
    drawn = encode(text + ("<end>" if finish_reason == "stop" else "")) if ids is None else ids
    return a_rollout(text, token_ids=drawn, versions=(1,), finish_reason=finish_reason)


def group(*rollouts: Rollout, language: str = "de") -> Group:
    return Group(group_id="0/0/a/de", problem=a_problem("a", language), prompt_token_ids=PROMPT, rollouts=rollouts)


def reference(text: str = "Tom has 3 + 4 = 7.\nThe answer is 7.") -> Reference:
    return a_reference(text=text)


@dataclass
class FakeLikelihood:
    """Return 0.1, 0.2, ... in the order of the prompts."""

    requests: list[AnswerProbabilityRequest] = field(default_factory=list)

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        self.requests.append(request)
        return tuple((index + 1) / 10 for index in range(len(request.prompts)))


@dataclass
class Translating:
    """Answer in capitals; a text with "lang" is cut off."""

    requests: list[SamplingRequest] = field(default_factory=list)
    together: list[int] = field(default_factory=list)

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        self.requests.append(request)
        await asyncio.sleep(0)
        self.together.append(len(self.requests))
        text = "".join(map(chr, request.prompt_token_ids)).partition("|")[2]
        return (rollout(f" {text.upper()}\n", finish_reason="length" if "lang" in text else "stop"),)


def pivot_prompt(text: str, language: str) -> tuple[int, ...]:
    return token_ids(f"{language}|{text}")


def translations(pivot: Translating, *, max_model_len: int = 100) -> PivotTranslations:
    return PivotTranslations(pivot=pivot, prompt=pivot_prompt, max_model_len=max_model_len, max_tokens=30)


def ask(likelihood: FakeLikelihood, asked: Group, pivot: Reference | None = None) -> tuple[float, ...]:
    source = PolicyAnswerLikelihood(likelihood=likelihood, tokenizer=TOKENIZER)
    return run(source.of_group(asked, pivot or reference()))


# --- likelihood -------------------------------------------------------------------------------------------------------


def test_the_answer_is_asked_for_behind_the_reasoning_and_the_closing_phrase() -> None:
    likelihood = FakeLikelihood()
    values = ask(likelihood, group(rollout(f"{GERMAN}\nDie Antwort lautet 8."), rollout(GERMAN)))
    assert values == (0.1, 0.2)
    (request,) = likelihood.requests
    # Both reason alike: behind the reasoning neither its own closing nor the end of sequence is left.
    expected = PROMPT + encode(GERMAN) + encode("\nDie Antwort lautet")
    assert request.prompts == (expected, expected)
    assert request.answer_token_ids == encode(" 7")  # one token with its space: the pivot's answer, not the response's
    assert len(request.answer_token_ids) == 1


def test_an_answer_whose_space_is_a_token_of_its_own_leaves_it_to_the_phrase() -> None:
    likelihood = FakeLikelihood()
    ask(likelihood, group(rollout(GERMAN)), reference("So it is 1,200. The answer is 1,200."))
    (request,) = likelihood.requests
    assert request.answer_token_ids == encode("1200")  # canonical
    assert decode(request.prompts[0][len(PROMPT) :]) == f"{GERMAN}\nDie Antwort lautet "


def test_the_responses_own_tokens_are_kept_as_they_were_drawn() -> None:
    # " 7" drawn as two tokens, though the tokenizer would make one of it.
    drawn = encode("3 + 4 =") + encode(" ") + encode("7") + encode("\nDie Antwort lautet 7.")
    assert encode("3 + 4 = 7") != drawn[: len(encode("3 + 4 = 7")) + 1]
    likelihood = FakeLikelihood()
    ask(likelihood, group(rollout("3 + 4 = 7\nDie Antwort lautet 7.", ids=drawn)))
    kept = encode("3 + 4 =") + encode(" ") + encode("7")
    assert likelihood.requests[0].prompts[0] == PROMPT + kept + encode("\nDie Antwort lautet")


@pytest.mark.parametrize(
    ("language", "reasoning", "closing", "phrase"),
    [
        ("th", "ทอมมีแอปเปิล 7 ผล", "\nคำตอบคือ 7", "\nคำตอบคือ"),
        ("ja", "トムは3個、あと4個。", "\n答えは7です。", "\n答えは"),
        ("te", "టామ్ వద్ద 7 ఉన్నాయి.", "\nసమాధానం 7.", "\nసమాధానం"),
    ],
)
def test_letters_of_several_tokens_are_kept_whole(language: str, reasoning: str, closing: str, phrase: str) -> None:
    likelihood = FakeLikelihood()
    ask(likelihood, group(rollout(reasoning + closing), language=language))
    (request,) = likelihood.requests
    assert decode(request.prompts[0][len(PROMPT) :]) == reasoning + phrase
    assert decode(request.answer_token_ids).strip() == "7"


def test_thinking_stays_before_the_reasoning_and_is_not_read_for_an_answer() -> None:
    thinking = "<think>The answer is 9. Hm.</think>\n"
    response = "4 + 3 = 7\nDie Antwort lautet 8."
    drawn = replace(rollout(thinking + response), text=response, num_thinking_tokens=len(encode(thinking)))
    likelihood = FakeLikelihood()
    ask(likelihood, group(drawn))
    (prompt,) = likelihood.requests[0].prompts
    assert decode(prompt[len(PROMPT) :]) == f"{thinking}4 + 3 = 7\nDie Antwort lautet"


def test_a_response_without_reasoning_is_asked_at_the_prompt() -> None:
    likelihood = FakeLikelihood()
    ask(likelihood, group(rollout("Die Antwort lautet 7."), rollout("")))
    expected = PROMPT + encode("\nDie Antwort lautet")
    assert likelihood.requests[0].prompts == (expected, expected)


def test_bytes_that_are_no_text_are_no_failure() -> None:
    broken = encode("Ä")[:1] + encode("x") + encode("Ä")[1:]
    likelihood = FakeLikelihood()
    # The engine may well decode it in another way.
    assert ask(likelihood, group(rollout("x", ids=broken))) == (0.1,)
    assert likelihood.requests[0].prompts[0][len(PROMPT) :][: len(broken)] == broken


def test_without_an_answer_of_the_pivot_nobody_is_asked() -> None:
    likelihood = FakeLikelihood()
    values = ask(likelihood, group(rollout(GERMAN), rollout(GERMAN)), reference("I do not know."))
    assert [math.isnan(value) for value in values] == [True, True]
    assert likelihood.requests == []


# --- translations -----------------------------------------------------------------------------------------------------


def test_each_distinct_reasoning_is_translated_once_greedily_and_all_at_the_same_time() -> None:
    pivot = Translating()
    closing = "\nDie Antwort lautet 7."
    asked = group(rollout("Drei und vier." + closing), rollout("Sieben." + closing), rollout("Drei und vier."))
    found = run(translations(pivot).of_group(asked, reference()))
    assert found == ("DREI UND VIER.", "SIEBEN.", "DREI UND VIER.")
    assert [request.prompt_token_ids for request in pivot.requests] == [
        pivot_prompt("Drei und vier.", "de"),
        pivot_prompt("Sieben.", "de"),
    ]
    assert [request.request_id for request in pivot.requests] == ["translation/0/0/a/de/0", "translation/0/0/a/de/1"]
    assert {(request.temperature, request.max_tokens, request.num_samples) for request in pivot.requests} == {
        (0, 30, 1)
    }
    assert pivot.together == [2, 2]


def test_what_was_cut_off_has_no_translation() -> None:
    pivot = Translating()
    asked = group(rollout("Zu lang.", finish_reason="stop"), rollout("Drei und", finish_reason="length"), rollout(""))
    assert run(translations(pivot).of_group(asked, reference())) == ("", "", "")
    assert len(pivot.requests) == 1  # the response that was cut off, and the empty one, were not asked for


def test_a_translation_has_the_room_that_its_prompt_leaves() -> None:
    pivot = Translating()
    # "de|Sieben." has 10 characters, a token each: 25 of 35 are left, then 1, then none.
    for max_model_len, expected in ((35, "SIEBEN."), (11, "SIEBEN."), (10, "")):
        (found,) = run(translations(pivot, max_model_len=max_model_len).translate(["Sieben."], source="de", name="x"))
        assert found == expected
    assert [request.max_tokens for request in pivot.requests] == [25, 1]


def test_english_is_its_own_translation() -> None:
    pivot = Translating()
    assert run(translations(pivot).translate(["Seven.", ""], source="en", name="x")) == ("Seven.", "")
    assert pivot.requests == []


def test_the_prompt_names_the_language_and_holds_the_text_in_the_pivots_template() -> None:
    text = decode(translation_prompt(TOKENIZER)("Saba.", "sw"))
    assert text.startswith("<Translate this Swahili text into English")
    assert text.endswith("\n\nSaba.>")


# --- together ---------------------------------------------------------------------------------------------------------


def test_only_what_the_reward_wants_is_asked() -> None:
    likelihood, pivot = FakeLikelihood(), Translating()
    asker = PolicyAnswerLikelihood(likelihood=likelihood, tokenizer=TOKENIZER)
    asked = group(rollout("Sieben."))
    assert run(EngineFeatureSource(likelihood=asker).of_group(asked, reference())) == EngineFeatures(
        answer_probabilities=(0.1,)
    )
    assert run(EngineFeatureSource(translations=translations(pivot)).of_group(asked, reference())) == EngineFeatures(
        translations=("SIEBEN.",)
    )
    assert run(EngineFeatureSource().of_group(asked, reference())) == EngineFeatures()


def config(folder: Path, **reasoning: str) -> Config:
    return a_config(
        policy={"model": str(folder)},
        pivot={"model": str(folder), "max_model_len": 300, "max_response_tokens": 60},
        reward={"reasoning": reasoning},
    )


def test_the_config_decides_which_engine_is_asked(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    likelihood, pivot = FakeLikelihood(), Translating()

    def source(**reasoning: str) -> EngineFeatureSource | None:
        return engine_feature_source(config(tmp_path, **reasoning), policy=likelihood, pivot=pivot)

    assert source() is None
    assert source(method="embedding") is None
    assert source(method="translation", translator="seq2seq") is None
    by_policy, by_pivot = source(method="likelihood"), source(method="translation", translator="pivot")
    assert by_policy is not None
    assert by_pivot is not None
    asked = group(rollout("Sieben."))
    assert run(by_policy.of_group(asked, reference())) == EngineFeatures(answer_probabilities=(0.1,))
    assert len(run(by_pivot.of_group(asked, reference())).translations) == 1
    assert decode(pivot.requests[0].prompt_token_ids).startswith("<Translate this German text")
    assert pivot.requests[0].max_tokens == 60


def test_a_tokenizer_that_cannot_be_loaded_is_the_users_mistake(tmp_path: Path) -> None:
    with refused("policy.model"):
        engine_feature_source(config(tmp_path, method="likelihood"), policy=FakeLikelihood(), pivot=Translating())
