"""Test which settings of a reward are checked before anything is started."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.rollouts import Rollout, SamplingRequest
from driver.calibration import TranslatedSimilarities
from driver.commands.calibrate import without_custom_reward
from driver.inputs import check_comet, check_encoder, check_scorers_suffice, licence_notes
from driver.rollouts.engine_features import PivotTranslations
from rewards.reasoning.similarity import ReasoningPair
from tests.builders import a_config
from tests.fakes.ports import run, token_ids
from tests.refusals import refused

HPARAMS = "class_identifier: {kind}\npretrained_model: an-encoder\n"


def with_comet(model: str, *, feeding: str = "quality") -> Config:
    return a_config(reward={"unparsed_answers": "comet"}, comet={"model": model, "feeding": feeding})


def test_licences_are_told_of_the_models_that_are_loaded_and_of_no_others() -> None:
    assert licence_notes(a_config()) == []
    (comet,) = licence_notes(with_comet("Unbabel/wmt22-cometkiwi-da"))
    assert "NOT for commercial use" in comet
    notes = licence_notes(a_config(reward={"reasoning": {"method": "translation"}}))
    assert len(notes) == 1 and "nllb" in notes[0] and "NOT for commercial use" in notes[0]


def refused_key(config: Config) -> str:
    with pytest.raises(BadInput) as refused:
        check_comet(config)
    return refused.value.key


def test_a_comet_folder_is_read_before_anything_starts(tmp_path: Path) -> None:
    assert refused_key(with_comet(str(tmp_path))) == "comet.model"
    hparams = tmp_path / "hparams.yaml"
    hparams.write_text(HPARAMS.format(kind="regression_metric"))
    assert refused_key(with_comet(str(tmp_path))) == "comet.model"
    check_comet(with_comet(str(tmp_path), feeding="same"))
    hparams.write_text(HPARAMS.format(kind="xcomet_metric"))
    assert refused_key(with_comet(str(tmp_path))) == "comet.model"
    check_comet(a_config(comet={"model": str(tmp_path)}))  # nothing asks for it


@pytest.mark.parametrize("reasoning", [{"method": "likelihood"}, {"method": "translation", "translator": "pivot"}])
def test_commands_that_start_scorers_only_refuse_what_asks_an_engine(reasoning: dict[str, str]) -> None:
    config = a_config(reward={"reasoning": reasoning})
    with pytest.raises(BadInput) as refused:
        check_scorers_suffice(config.reward.reasoning)
    assert refused.value.key in ("reward.reasoning.method", "reward.reasoning.translator")
    check_scorers_suffice(a_config().reward.reasoning)


@pytest.mark.parametrize("reasoning", [{"method": "likelihood"}, {"method": "translation", "translator": "pivot"}])
def test_a_judge_by_an_engine_has_no_question_baseline(reasoning: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        a_config(reward={"reasoning": {**reasoning, "baseline": "question"}})


def test_calibration_runs_no_code_of_the_user() -> None:
    weights = {"answer": 0.5, "reasoning": 0.25, "numbers": 0.0, "custom": 0.25}
    config = a_config(reward={"weights": weights, "custom": {"path": "mine.py"}})
    assert without_custom_reward(config).reward.custom.path is None


class Echo:
    """Translate every text to its request's prompt, in capitals."""

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        text = "".join(map(chr, request.prompt_token_ids)).upper()
        return (Rollout(token_ids=(1,), logprobs=(0.0,), text=text, finish_reason="stop", token_versions=(0,)),)


class Lengths:
    """Return the length of the translation as the similarity."""

    async def similarity_fingerprint(self) -> str:
        return "lengths"

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        assert all(pair.translation == pair.reasoning.upper() for pair in pairs if pair.language != "en")
        assert all(pair.translation == pair.reasoning for pair in pairs if pair.language == "en")
        return [float(len(pair.translation)) for pair in pairs]


def test_pairs_are_calibrated_with_the_translations_that_a_run_would_have() -> None:
    translations = PivotTranslations(
        pivot=Echo(), prompt=lambda text, language: token_ids(text), max_model_len=100, max_tokens=10
    )
    asked = TranslatedSimilarities(scorers=Lengths(), translations=translations)
    texts = (("de", "eins"), ("fr", "deux ou"), ("en", "three"))
    pairs = [ReasoningPair(language=language, reasoning=text, reference="r") for language, text in texts]
    assert run(asked.similarities(pairs)) == [4.0, 7.0, 5.0]
    assert run(asked.similarity_fingerprint()) == "lengths"


def test_an_encoder_with_code_of_its_own_is_refused_before_anything_starts(tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Normalize"}, {"type": "own_module.Own"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with refused("scorer.trust_remote_code", str(tmp_path), "own_module.Own"):
        check_encoder(a_config(scorer={"model": str(tmp_path)}))
    check_encoder(a_config(scorer={"model": str(tmp_path), "trust_remote_code": True}))
    check_encoder(a_config(scorer={"model": str(tmp_path)}, reward={"reasoning": {"method": "likelihood"}}))


@pytest.mark.parametrize("file", ["modules.json", "model.safetensors"])
def test_a_damaged_encoder_is_refused_before_anything_starts(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_bytes(b"{")
    with refused("scorer.model", str(tmp_path / file)):
        check_encoder(a_config(scorer={"model": str(tmp_path)}))
