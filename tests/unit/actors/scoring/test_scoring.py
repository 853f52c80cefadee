"""Test how a config becomes a loaded reward, without a model: what is chosen, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from actors.scoring.loaded_reward import LoadedReward, RewardSetup
from contracts.config.reward import (
    CometConfig,
    CustomRewardConfig,
    GatesConfig,
    LikelihoodReasoning,
    ReasoningConfig,
    RewardConfig,
    RewardWeights,
    ScorerConfig,
    TranslationReasoning,
    TranslatorConfig,
)
from contracts.rollouts import Score, ScoreRequest, Unscored
from rewards.calibration import Calibration, LanguageScale, Spread
from rewards.reasoning.similarity import VERSION
from tests.refusals import raised

ROOT = Path(__file__).resolve().parents[4]
SPREAD = Spread(mean=0.5, sd=0.1, num=8)
SCALE = LanguageScale(floor=0.2, half=0.1, half_over_question=0.1, faithful=SPREAD, question=SPREAD, unrelated=SPREAD)


def a_setup(
    reasoning: ReasoningConfig,
    *,
    gates: GatesConfig | None = None,
    calibration: Calibration | None = None,
    custom: str = "",
) -> RewardSetup:
    weights = RewardWeights(answer=0.5, reasoning=0.5, numbers=0.0)
    if custom:
        weights = RewardWeights(answer=0.5, reasoning=0.25, numbers=0.0, custom=0.25)
    return RewardSetup(
        scorer=ScorerConfig(model="none is loaded"),
        reward=RewardConfig(
            weights=weights,
            reasoning=reasoning,
            gates=gates or GatesConfig(),
            custom=CustomRewardConfig(path="mine.py" if custom else None),
        ),
        comet=CometConfig(),
        translator=TranslatorConfig(),
        languages=("de", "fr"),
        calibration=calibration,
        custom_source=custom,
    )


LIKELIHOOD = LikelihoodReasoning(method="likelihood")
MEASURED = TranslationReasoning(method="translation", translator="pivot", compare="chrf")  # needs no model either
FINGERPRINT = LoadedReward(a_setup(MEASURED), "cpu").reward.fingerprint


def a_request(*, probability: float) -> ScoreRequest:
    return ScoreRequest(
        language="de",
        question="Anna hat fünf Äpfel und verschenkt zwei davon. Wie viele hat sie noch?",
        question_en="Anna has five apples and gives away two of them. How many does she have left?",
        reference="She starts with 5 apples and gives away 2, so 5 - 2 = 3 are left.\nThe answer is 3.",
        responses=("Sie beginnt mit 5 Äpfeln und verschenkt 2, also bleiben 5 - 2 = 3 übrig.\nDie Antwort ist 3.",),
        truncated=(False,),
        translations=("She starts with 5 apples and gives away 2, so 5 - 2 = 3 are left.",),
        answer_probabilities=(probability,),
    )


def only_score(loaded: LoadedReward, request: ScoreRequest) -> Score:
    ((score,),) = loaded.reward.score([request])
    assert isinstance(score, Score), score
    return score


def test_similarity_scale_weights_and_gates_are_those_of_the_config() -> None:
    loaded = LoadedReward(a_setup(LIKELIHOOD), "cpu")
    score = only_score(loaded, a_request(probability=0.6))
    assert loaded.reward.fingerprint == f"likelihood/{VERSION}"
    assert score.parts["reasoning"] == pytest.approx(0.6)
    assert score.reward == pytest.approx(0.5 + 0.5 * 0.6)
    assert list(score.gates) == list(GatesConfig().switches)
    assert loaded.counters() == {}  # no encoder was loaded


def test_every_gate_that_can_be_switched_off_is_recorded_as_a_part_then() -> None:
    switches = list(GatesConfig().switches)
    setup = a_setup(LIKELIHOOD, gates=GatesConfig(**dict.fromkeys(switches, False)))
    score = only_score(LoadedReward(setup, "cpu"), a_request(probability=0.6))
    assert score.gates == {}
    assert {name: score.parts[name] for name in switches} == dict.fromkeys(switches, 1.0)


def test_a_calibration_of_the_same_similarity_is_used_from_the_start_or_later() -> None:
    calibration = Calibration(similarity=FINGERPRINT, data="d", languages={"de": SCALE, "fr": SCALE})
    later = LoadedReward(a_setup(MEASURED), "cpu")
    later.use_calibration(calibration)
    for loaded in (later, LoadedReward(a_setup(MEASURED, calibration=calibration), "cpu")):
        # The translation is the reference's reasoning: chrF 1, which is 0.8 above the floor; 0.64 / (0.64 + 0.01).
        assert only_score(loaded, a_request(probability=0.3)).parts["reasoning"] == pytest.approx(0.64 / 0.65)


def test_a_calibration_of_another_similarity_or_without_a_language_is_refused() -> None:
    loaded = LoadedReward(a_setup(MEASURED), "cpu")
    with raised(ValueError, "e5-large"):
        loaded.use_calibration(Calibration(similarity="e5-large", data="d", languages={"de": SCALE, "fr": SCALE}))
    with raised(ValueError, " fr;"):
        loaded.use_calibration(Calibration(similarity=FINGERPRINT, data="d", languages={"de": SCALE}))


def test_with_calibration_off_statistics_that_come_along_are_not_used() -> None:
    calibration = Calibration(similarity=FINGERPRINT, data="d", languages={"de": SCALE, "fr": SCALE})
    off = MEASURED.model_copy(update={"calibration": "off", "low": 0.0, "high": 2.0})
    loaded = LoadedReward(a_setup(off, calibration=calibration), "cpu")
    assert only_score(loaded, a_request(probability=0.3)).parts["reasoning"] == pytest.approx(0.5)


def test_a_likelihood_is_its_own_scale() -> None:
    loaded = LoadedReward(a_setup(LIKELIHOOD), "cpu")
    assert only_score(loaded, a_request(probability=0.3)).parts["reasoning"] == pytest.approx(0.3)


def test_the_users_own_reward_is_a_part_and_its_mistakes_leave_the_group_unscored() -> None:
    source = "def reward(request):\n    return [1 / request.step]\n"
    loaded = LoadedReward(a_setup(LIKELIHOOD, custom=source), "cpu")
    request = a_request(probability=0.6)
    ((unscored,),) = loaded.reward.score([request])  # step 0
    assert isinstance(unscored, Unscored)
    assert unscored.reason == "custom reward failed: ZeroDivisionError"
    assert 'File "mine.py", line 2, in reward' in unscored.detail


def test_two_english_texts_by_chrf_need_neither_encoder_nor_translator() -> None:
    """In a process of its own: here, others may have loaded torch."""
    program = (
        "import sys\n"
        "from tests.unit.actors.scoring.test_scoring import LoadedReward, TranslationReasoning, a_setup\n"
        "chrf = TranslationReasoning(method='translation', translator='pivot', compare='chrf', calibration='off')\n"
        "print(LoadedReward(a_setup(chrf), 'cpu').reward.fingerprint)\n"
        "print(sorted({'torch', 'ray', 'transformers', 'sentence_transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    fingerprint, loaded = done.stdout.splitlines()
    assert fingerprint.startswith("translation(pivot;chrf6-beta2")
    assert loaded == "[]"
