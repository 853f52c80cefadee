"""Test what a loaded reward's models count, on tiny random ones: a translator that feeds a COMET metric."""

import pytest

from actors.scoring.loaded_reward import LoadedReward, RewardSetup
from actors.scoring.metrics import over_step, scorer_metrics
from contracts.config.reward import CometConfig, CometReasoning, RewardConfig, ScorerConfig, TranslatorConfig
from rewards.reasoning.similarity import ReasoningPair
from tests.models.tiny_comet import save_comet
from tests.models.tiny_translator import NLLB_CODES, build_translator


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedReward:
    """COMET with references, fed with responses that were translated into English."""
    metric = save_comet(tmp_path_factory.mktemp("comet"), "regression_metric")
    translator = build_translator(tmp_path_factory.mktemp("nllb"), NLLB_CODES, seed=0)
    setup = RewardSetup(
        scorer=ScorerConfig(model="none is loaded"),
        reward=RewardConfig(reasoning=CometReasoning(method="comet", calibration="off")),
        comet=CometConfig(model=str(metric), encoder=str(metric / "encoder"), feeding="back"),
        translator=TranslatorConfig(model=str(translator)),
        languages=("de",),
    )
    return LoadedReward(setup, "cpu")


def test_translated_segments_and_those_that_comet_scored_are_counted_and_become_metrics(loaded: LoadedReward) -> None:
    """Three responses of one sentence each, two of them the same: that one is translated once, and scored twice."""
    before = loaded.counters()
    assert before == {"translated": 0, "translations_unfinished": 0, "comet_segments": 0}
    loaded.reward.similarities(
        [ReasoningPair(language="de", reasoning=text, reference="one two") for text in ("eins", "zwei", "eins")]
    )
    counters = over_step(before, loaded.counters())
    assert counters["translated"] == 2
    assert counters["translations_unfinished"] in (0, 1, 2)  # a random model may come to an end or not
    assert counters["comet_segments"] == 3
    assert scorer_metrics(counters) == {f"scorer/{name}": value for name, value in counters.items()}
