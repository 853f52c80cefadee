"""Define the position of a run after a step, and keep it in a checkpoint as state.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.files import write_whole
from driver.problems.draws import OpenDraws

FORMAT = 3
"""Version of the format of state.json and of a checkpoint's manifest."""

STATE = "state.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPosition:
    """Hold the position of a run between two steps."""

    step: int = 0  # the last one that is finished
    policy_version: int = 0  # of the weights that the policy workers serve
    optimizer_steps: int = 0  # tried so far, skipped ones included
    skipped_in_a_row: int = 0  # of them, at the end


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """Hold all that the next step depends on, beside the learner's own files."""

    step: int  # the last one that is finished
    policy_version: int
    optimizer_steps: int  # tried so far, skipped ones included
    skipped_in_a_row: int  # of them, at the end
    open: OpenDraws  # state of the problem stream, and draws that must be sampled again
    num_ranks: int  # of the learner that wrote
    seed: int  # run.seed: every sampling seed is a hash of it and the step
    calibration: str = ""  # calibration.json as the run used it; empty: the reward needs none

    @property
    def position(self) -> RunPosition:
        """Return where the recipe's loop goes on."""
        return RunPosition(
            step=self.step,
            policy_version=self.policy_version,
            optimizer_steps=self.optimizer_steps,
            skipped_in_a_row=self.skipped_in_a_row,
        )


def write_state(folder: Path, state: RunState) -> None:
    """Write the state into a checkpoint's folder.

    Raises:
        OSError: it could not be written.
    """
    write_whole(folder / STATE, json.dumps({"format": FORMAT, **asdict(state)}, indent=1))


def read_state(folder: Path) -> RunState:
    """Return the state of a checkpoint whose files were verified.

    Raises:
        OSError, ValueError, KeyError, TypeError: the file was not verified, and is not what `write_state` wrote.
    """
    record = json.loads((folder / STATE).read_text(encoding="utf-8"))
    del record["format"]
    return RunState(**record)
