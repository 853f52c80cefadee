"""Test that the models of a scorer on a GPU say what they say on the CPU: embeddings, COMET, a translator."""

from pathlib import Path

import numpy as np

from actors.scoring.loaded_reward import LoadedReward, RewardSetup
from contracts.config.reward import (
    CometConfig,
    CometReasoning,
    EmbeddingReasoning,
    RewardConfig,
    ScorerConfig,
    TranslatorConfig,
)
from rewards.reasoning.similarity import ReasoningPair
from tests.gpu.device import DEVICE, needs_gpus
from tests.integration.conftest import TinyModels
from tests.models.tiny_comet import save_comet
from tests.models.tiny_translator import NLLB_CODES, build_translator

pytestmark = needs_gpus(1)

CLOSE = 0.02
"""Largest distance of two similarities in [-1, 1]."""
PAIRS = [
    ReasoningPair(language="de", reasoning=text, reference="one two three")
    for text in ("eins", "zwei drei", "eins zwei drei vier fünf")
]


def similarities(setup: RewardSetup, device: str) -> np.ndarray:
    return np.array(LoadedReward(setup, device).reward.similarities(PAIRS), dtype=float)


def setup_of(reward: RewardConfig, *, encoder: Path, comet: CometConfig, translator: TranslatorConfig) -> RewardSetup:
    return RewardSetup(
        scorer=ScorerConfig(model=str(encoder), text_prefix="", num_gpus=1),
        reward=reward,
        comet=comet,
        translator=translator,
        languages=("de",),
    )


def test_embeddings_on_a_gpu_are_as_similar_as_on_the_cpu(tiny_models: TinyModels) -> None:
    reward = RewardConfig(reasoning=EmbeddingReasoning(calibration="off", low=-1, high=1))
    setup = setup_of(reward, encoder=tiny_models.encoder, comet=CometConfig(), translator=TranslatorConfig())
    expected = similarities(setup, "cpu")
    assert np.isfinite(expected).all() and expected.std() > 0
    np.testing.assert_allclose(similarities(setup, DEVICE), expected, atol=CLOSE)


def test_comet_with_a_translator_says_on_a_gpu_what_it_says_on_the_cpu(tiny_models: TinyModels, tmp_path: Path) -> None:
    metric = save_comet(tmp_path / "comet", "regression_metric")
    translator = build_translator(tmp_path / "nllb", NLLB_CODES, seed=0)
    setup = setup_of(
        RewardConfig(reasoning=CometReasoning(method="comet", calibration="off")),
        encoder=tiny_models.encoder,
        comet=CometConfig(model=str(metric), encoder=str(metric / "encoder"), feeding="back"),
        translator=TranslatorConfig(model=str(translator)),
    )
    expected = similarities(setup, "cpu")
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(similarities(setup, DEVICE), expected, atol=CLOSE)
