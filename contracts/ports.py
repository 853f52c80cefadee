"""What the driver may ask of the actors: small Protocols, so that every stage runs on hand-written fakes in tests.

Owns the verbs between driver and actors. Knows the schema only; nothing here may import Ray or an engine.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.errors import LearnerLost
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest, Score, ScoreRequest, Unscored


class Generator(Protocol):
    """An engine, or a fleet of them: the policy at its current version, or the frozen pivot."""

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """Responses to one prompt, in the order of `request.seeds`. Returns as soon as this group is finished."""
        ...


class AnswerLikelihood(Protocol):
    """The policy at its current version, asked how probable an answer is."""

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        """[N] mean probability of the answer's tokens after each prompt, in [0, 1]; NaN where both do not fit.

        By the weights served when it is asked: ask before the next push, and they are those that drew the responses.
        """
        ...


class Scorer(Protocol):
    """The semantic reward, in one actor or several."""

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        """One result per response, in order. A failure is `Unscored`, never a reward of 0."""
        ...

    async def take_stats(self) -> dict[str, float]:
        """What the scorers counted since the last call, by metric name ("scorer/...")."""
        ...


class Learner(Protocol):
    """The ZeRO-3 ranks, as one: the policy, and where the config asks for them its reference model and a critic."""

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        """[num_sequences] what the models say of each sequence, by the weights of now. Nothing is learned."""
        ...

    async def step(self, batch: TrainBatch) -> StepResult:
        """One optimiser step on all ranks; of the critic too, where the rows have returns."""
        ...

    async def push_weights(self, policy_version: int) -> PushResult:
        """Send the current weights to every policy worker and stamp them with `policy_version`."""
        ...

    async def until_lost(self) -> LearnerLost:
        """Waits until it is known that a rank was lost, also while nobody calls the learner; how."""
        ...

    async def save(self, folder: str) -> None:
        """Write all that is needed to go on exactly here into an empty folder that every rank reaches.

        Raises:
            CheckpointFailed: a file could not be written; the learner goes on as before.
        """
        ...

    async def load(self, folder: str) -> None:
        """Go on where `save` wrote, with this number of ranks or another.

        Raises:
            RunFailed: a file can't be read.
        """
        ...

    async def export(self, folder: str) -> None:
        """Write the current weights as a Hugging Face folder that transformers and vLLM load."""
        ...


class Console(Protocol):
    """Tell a person what a run does."""

    def note(self, text: str) -> None:
        """Print a line that stays."""
        ...

    def waiting(self, text: str) -> None:
        """Show what the run waits for, until the next step or until it is not said again."""
        ...

    def phase(self, what: str, *, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """Show `what` and its seconds while the context is open; yields the function that reports the number done."""
        ...
