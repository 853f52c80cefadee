"""Say how one actor stands at a moment, for the metrics of single actors."""

from dataclasses import dataclass

from actors.remote.progress import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorReading:
    """Hold what the driver knows of an actor without asking it."""

    name: str  # "policy-0", "learner-1"
    role: str  # "policy", "pivot", "scorer" or "learner"
    is_serving: bool  # it may be given work
    num_restarts: int  # processes after the first one
    progress: Progress | None  # of the current process, as it said last; None: it has said nothing yet
    queue: int | None = None  # unanswered samples of an engine, unanswered calls of a scorer; None: it has no queue
    version: int | None = None  # of the learner's weights that it serves; None: it serves none of them
