"""The semantic reward as a whole, on an encoder whose vectors are written by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from driver.config import RewardConfig
from driver.schema import Score, ScoreRequest, Unscored
from rewards.semantic import NO_REFERENCE_ANSWER, SemanticReward

REFERENCE_REASONING = "Roger has 5 + 6 = 11 balls."
GOOD = "Roger hat insgesamt 5 + 6 = 11 Bälle."
OFF_TOPIC = "Der Himmel ist heute sehr blau und weit."
DEGREES = {REFERENCE_REASONING: 0.0, GOOD: 0.0, OFF_TOPIC: 90.0}


@dataclass
class AngleEncoder:
    """Puts each text at its angle on the unit circle, and remembers what it was asked."""

    calls: list[list[str]] = field(default_factory=list)

    def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        angles = np.radians([DEGREES.get(text, 60.0) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


# Cosines 1, 0.5 (60 degrees) and 0 become 1, 0.5 and 0; the weights are 0.6 and 0.4.
CONFIG = RewardConfig(similarity_low=0.0, similarity_high=1.0)


def request(*responses: str, truncated: tuple[bool, ...] = (), language: str = "de") -> ScoreRequest:
    return ScoreRequest(
        language=language,
        question="Wie viele Bälle hat Roger?",
        question_en="How many balls does Roger have?",
        reference=f"{REFERENCE_REASONING} The answer is 11.",
        responses=responses,
        truncated=truncated or (False,) * len(responses),
    )


def score_one(response: str, *, config: RewardConfig = CONFIG, truncated: bool = False) -> Score:
    reward = SemanticReward(AngleEncoder(), languages=("de",), config=config)
    [[score]] = reward.score([request(response, truncated=(truncated,))])
    assert isinstance(score, Score)
    return score


def test_right_answer_and_same_reasoning_earn_everything() -> None:
    score = score_one(f"{GOOD} Die Antwort lautet 11.")
    assert score.reward == pytest.approx(1.0)
    assert score.parts == {"answer": 1.0, "reasoning": pytest.approx(1.0)}
    assert score.gates == {"language": True, "format": True, "truncation": True}
    assert score.answer == "11"


def test_parts_are_weighted() -> None:
    wrong_but_close = score_one(f"{GOOD} Die Antwort lautet 12.")
    right_but_off = score_one(f"{OFF_TOPIC} Die Antwort lautet 11.")
    assert wrong_but_close.reward == pytest.approx(0.4)
    assert right_but_off.reward == pytest.approx(0.6)


def test_answer_is_compared_as_a_number() -> None:
    assert score_one(f"{GOOD} Die Antwort lautet 11,0 Bälle.").parts["answer"] == 1.0


@pytest.mark.parametrize(
    ("response", "truncated", "shut"),
    [
        (f"{REFERENCE_REASONING} The answer is 11.", False, "language"),
        (f"{GOOD} The answer is 11.", False, "language"),
        (GOOD, False, "format"),
        (f"{GOOD} Die Antwort lautet 11. Die Antwort lautet 12.", False, "format"),
        (f"{GOOD} Die Antwort lautet 11.", True, "truncation"),
    ],
)
def test_shut_gate_means_no_reward_and_all_is_recorded(response: str, truncated: bool, shut: str) -> None:
    score = score_one(response, truncated=truncated)
    assert score.reward == 0.0
    assert [name for name, is_open in score.gates.items() if not is_open] == [shut]
    assert score.parts["reasoning"] == 0.0
    assert "answer" in score.parts


def test_empty_response_earns_nothing() -> None:
    score = score_one("")
    assert (score.reward, score.gates["format"], score.answer) == (0.0, False, None)


def test_gate_that_is_off_pays_and_is_still_recorded() -> None:
    english = f"{REFERENCE_REASONING} The answer is 11."
    score = score_one(english, config=CONFIG.model_copy(update={"language_gate": False}))
    assert score.reward == pytest.approx(1.0)
    assert score.gates == {"format": True, "truncation": True}
    assert score.parts["language"] == 0.0


def test_reference_without_an_answer_leaves_its_group_unscored_and_the_others_scored() -> None:
    encoder = AngleEncoder()
    reward = SemanticReward(encoder, languages=("de",), config=CONFIG)
    good = request(f"{GOOD} Die Antwort lautet 11.")
    lost = replace(request("a", "b"), reference="I give up.")
    first, second, third = reward.score([good, lost, good])
    assert second == (Unscored(reason=NO_REFERENCE_ANSWER),) * 2
    assert first == third
    assert isinstance(first[0], Score) and first[0].reward == pytest.approx(1.0)


def test_all_groups_are_encoded_together_references_apart_and_shut_ones_never() -> None:
    encoder = AngleEncoder()
    reward = SemanticReward(encoder, languages=("de",), config=CONFIG)
    right, off = f"{GOOD} Die Antwort lautet 11.", f"{OFF_TOPIC} Die Antwort lautet 11."
    scores = reward.score([request(right, GOOD, off), request(off, right)])
    rewards = [[score.reward if isinstance(score, Score) else None for score in group] for group in scores]
    assert rewards == [pytest.approx([1.0, 0.0, 0.6]), pytest.approx([0.6, 1.0])]
    references, reasonings = encoder.calls
    assert set(references) == {REFERENCE_REASONING}
    assert set(reasonings) == {GOOD, OFF_TOPIC}


def test_nothing_to_encode_asks_no_encoder() -> None:
    encoder = AngleEncoder()
    reward = SemanticReward(encoder, languages=("de",), config=CONFIG)
    assert reward.score([]) == []
    reward.score([request("", "")])
    assert encoder.calls == []


def test_encoder_that_fails_is_not_a_reward_of_zero() -> None:
    class NanEncoder:
        def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
            return np.full((len(texts), 2), np.nan, dtype=np.float32)

    reward = SemanticReward(NanEncoder(), languages=("de",), config=CONFIG)
    with pytest.raises(ValueError, match="not finite"):
        reward.score([request(f"{GOOD} Die Antwort lautet 11.")])
