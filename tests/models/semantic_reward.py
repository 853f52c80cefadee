"""Build a semantic reward for tests: real gates and answers, a similarity whose values are written by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.config.reward import RewardConfig
from contracts.rollouts import Score, ScoreRequest, Unscored
from languages.facts import LANGUAGES
from rewards.calibration import LinearScale
from rewards.compose import Combination
from rewards.gates.gates import build_gates
from rewards.reasoning.similarity import ReasoningPair
from rewards.reward import CustomReward, Reasoning, SemanticReward, TextAnswers

REFERENCE_REASONING = "Roger started with 5 balls. He bought 6 more, so he has 5 + 6 = 11 balls."
GOOD = "Roger hatte zuerst 5 Bälle. Er kaufte 6 dazu, also hat er 5 + 6 = 11 Bälle."
OFF_TOPIC = "Der Himmel ist heute sehr blau und weit, und die Vögel singen schön im Garten."
VALUES = {GOOD: 1.0, OFF_TOPIC: 0.0}
WEIGHTS = {"answer": 0.6, "reasoning": 0.08, "numbers": 0.32}


@dataclass
class TableSimilarity:
    """Raw values by reasoning, and what it was asked."""

    values: Mapping[str, float] = field(default_factory=lambda: VALUES)
    calls: list[list[str]] = field(default_factory=list)
    fingerprint: str = "table"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        self.calls.append([pair.reasoning for pair in pairs])
        return np.array([self.values.get(pair.reasoning, 0.5) for pair in pairs])


def a_reward(
    *,
    similarity: TableSimilarity | None = None,
    off: Sequence[str] = (),
    baseline: str = "language",
    text_answers: TextAnswers | None = None,
    custom: CustomReward | None = None,
    config: RewardConfig | None = None,
) -> SemanticReward:
    config = config or RewardConfig()
    gates = build_gates(tuple(LANGUAGES), min_length_ratio=0.2, max_length_ratio=4.0, thinking=config.thinking)
    return SemanticReward(
        gates=gates,
        switched_off=off,
        combination=Combination(config),
        reasoning=Reasoning(
            similarity=similarity or TableSimilarity(),
            scale=LinearScale(0.0, 1.0),
            baseline="question" if baseline == "question" else "language",
            with_thinking=config.thinking == "judged",
        ),
        text_answers=text_answers,
        custom=custom,
    )


def request(
    *responses: str,
    truncated: tuple[bool, ...] = (),
    thinking: tuple[str, ...] = (),
    language: str = "de",
    reference: str = f"{REFERENCE_REASONING} The answer is 11.",
) -> ScoreRequest:
    return ScoreRequest(
        language=language,
        question="Wie viele Bälle hat Roger?",
        question_en="How many balls does Roger have?",
        reference=reference,
        responses=responses,
        truncated=truncated or (False,) * len(responses),
        thinking=thinking,
    )


def only(reward: SemanticReward, asked: ScoreRequest) -> Score | Unscored:
    [[score]] = reward.score([asked])
    return score
