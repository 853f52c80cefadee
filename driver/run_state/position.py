"""Say where a run stands between two steps."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPosition:
    """Where a run stands between two steps: with the learner's state and the stream's, all that going on needs."""

    step: int = 0  # finished
    policy_version: int = 0  # of the weights that the policy workers serve
    optimizer_steps: int = 0  # tried so far, skipped ones included
    skipped_in_a_row: int = 0  # of them, at the end
