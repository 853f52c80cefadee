"""Define what the driver may ask of the actors, as small Protocols: in tests every stage runs on hand-written fakes.

This module imports the data types alone, neither Ray nor an engine.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.errors import LearnerLost
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest, Score, ScoreRequest, Unscored
from contracts.sealed_folder import FileSum


class Generator(Protocol):
    """Sample responses: an engine or a pool of them, the policy at its current version or the frozen pivot."""

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """Return the responses to one prompt, in the order of `request.seeds`, as soon as all of them are finished."""
        ...


class AnswerLikelihood(Protocol):
    """Compute how probable an answer is to the policy at its current version."""

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        """Return [N] how probable the answer is after each prompt, by the request's measure.

        It is NaN where prompt and answer do not fit into the model's context. The weights are those of the time of the
        call: before the next push they are the ones that sampled the responses.
        """
        ...


class Scorer(Protocol):
    """Compute rewards, in one actor or several."""

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        """Return one result for each response, in order. A failure is `Unscored`, never a reward of 0."""
        ...

    async def take_stats(self) -> dict[str, float]:
        """Return what the scorers counted since the last call, by metric name ("scorer/...")."""
        ...


class Learner(Protocol):
    """Train the policy: all ZeRO-3 ranks as one, with a reference model and a critic if the config asks for them."""

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        """Return [num_sequences] the models' measures of each sequence, by the current weights. Nothing is learned."""
        ...

    async def step(self, batch: TrainBatch) -> StepResult:
        """Do one optimiser step on all ranks; also of the critic, if the rows have returns."""
        ...

    async def push_weights(self, policy_version: int) -> PushResult:
        """Send the current weights to every policy worker and stamp them with `policy_version`."""
        ...

    async def until_lost(self) -> LearnerLost:
        """Wait until a rank is lost, also between calls of the learner, and return how it was lost."""
        ...

    async def save(self, folder: str, *, policy: str) -> None:
        """Begin to write all that is needed to continue exactly here into `folder`, and the policy into `policy`.

        Every rank reaches both folders. When this returns the learner may be asked for anything: the next optimiser
        step waits until the files are written. `saved` must follow.
        """
        ...

    async def saved(self) -> Mapping[str, FileSum]:
        """Wait until what `save` began is on the disk, and return the checksums of the large files by their paths.

        Raises:
            CheckpointFailed: a file could not be written; the learner goes on as before.
        """
        ...

    async def load(self, folder: str) -> None:
        """Continue from what `save` wrote, with the same number of ranks or another.

        Raises:
            RunFailed: a file can't be read.
        """
        ...

    async def export(self, folder: str) -> Mapping[str, FileSum]:
        """Write the current weights as a Hugging Face folder that transformers and vLLM load.

        Returns the checksums of its weight files by their paths.
        """
        ...


class Console(Protocol):
    """Print what a run does, for a person."""

    def note(self, text: str) -> None:
        """Print a line that stays."""
        ...

    def waiting(self, text: str) -> None:
        """Show what the run waits for, until the next step or until it is not said again."""
        ...

    def phase(self, what: str, *, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """Show `what` and its seconds while the context is open; yields the function that reports the number done."""
        ...
