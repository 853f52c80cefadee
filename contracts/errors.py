"""Define the errors that end a command, told apart by class and by the key that they are about.

`driver/run.py` turns them into one line and an exit code: 2 for bad input, 1 for a failure while running. Tests compare
class and key, never the sentence.
"""

from collections.abc import Callable, Iterable

_LONGEST_SHOWN = 80  # characters of a bad value that a message repeats


def shown(value: object) -> str:
    """Return a value as a message repeats it, shortened if it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError, MemoryError):  # an integer of thousands of digits, a deeply nested list
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


class BadInput(ValueError):
    """Report a mistake in the user's config, data or arguments: one line, exit 2, nothing lost.

    Args:
        message: one line that says what is wrong, where, what was found and what to do.
        key: what the message is about: a config key ("policy.model"), a column of a data set ("question"), a command
            line word, or the name of a file ("metrics.jsonl"). Empty if there is no single one.
        others: further mistakes that were found with this one, each on a line of its own.
    """

    def __init__(self, message: str, *, key: str = "", others: Iterable["BadInput"] = ()) -> None:
        super().__init__(message)
        self.key = key
        self.others = tuple(others)

    @property
    def all(self) -> tuple["BadInput", ...]:
        """Return this mistake and the others."""
        return (self, *(mistake for other in self.others for mistake in other.all))


def refuse_all(mistakes: Iterable[BadInput]) -> None:
    """Refuse with all of the mistakes; the first one is the error itself, and the same line is said once.

    Raises:
        BadInput: there is a mistake.
    """
    found = list({str(mistake): mistake for one in mistakes for mistake in one.all}.values())
    if found:
        first = found[0]
        raise BadInput(str(first), key=first.key, others=[BadInput(str(one), key=one.key) for one in found[1:]])


def check_all(*checks: Callable[[], object]) -> None:
    """Make every check, also after one that refuses.

    Raises:
        BadInput: with the mistakes of all checks.
    """
    mistakes: list[BadInput] = []
    for check in checks:
        try:
            check()
        except BadInput as mistake:
            mistakes.append(mistake)
    refuse_all(mistakes)


class RunFailed(RuntimeError):
    """Report a failure while the run was under way: one line, exit 1, details in the run's log files.

    Args:
        message: one line that says what failed and where to look.
        key: what failed: a worker ("policy-0"), a role ("scorer"), a phase or a file. Empty if there is no single one.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class LearnerLost(RunFailed):
    """Report that a rank of the learner died, went silent or raised.

    All ranks have to be started again, from the last checkpoint.
    """


class FleetLost(RunFailed):
    """Report that no worker of a role is left and none may be restarted. The message names each worker and why."""


class CheckpointFailed(RuntimeError):
    """Report that a checkpoint could not be written, for example on a full disk.

    Earlier checkpoints stay valid, and the run goes on.
    """
