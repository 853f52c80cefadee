"""The two ways a run ends badly, told apart by exit code.

Owns the error types that `driver/run.py` turns into one line and an exit code. Knows nothing else.
"""


class BadInput(ValueError):
    """The user's config, data or arguments are wrong: one clear line, exit 2, nothing started.

    The message says what is wrong, where, what was got and what to do.
    """


class RunFailed(RuntimeError):
    """Something broke while the run was under way: one clear line, exit 1, details in the run's log files."""


class LearnerLost(RunFailed):
    """A rank of the learner died, fell silent or raised: all ranks must be started again, from the last checkpoint."""


class FleetLost(RunFailed):
    """No worker of a kind is left, and none may be started again: the message names each and why."""


class CheckpointFailed(RuntimeError):
    """A checkpoint could not be written (a full disk): the ones before stay good and the run goes on."""
