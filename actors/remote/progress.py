"""Say how far a worker has come since it started, so that workers of one role can be compared."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Count what a worker has done. Time in which it had nothing to do, loaded or took weights is not busy."""

    work: float  # tokens of an engine (drawn ones, and the prompts of what is finished); responses of a scorer
    turns: float  # steps of an engine; batches of a scorer
    busy_s: float  # seconds of its turns
