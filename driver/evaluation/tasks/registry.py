"""Find a task by its name: a file of this folder, or a file of the user's own.

"xcopa" is measured in the task's own way, "xcopa:generate" in the way that is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from contracts.errors import BadInput
from driver.evaluation.tasks.definition import EvaluationTask, Method
from languages.text_file import UnreadableFile, read_toml

_FOLDER = Path(__file__).parent
TASK_FILE = ".toml"


@dataclass(frozen=True, kw_only=True)
class ChosenTask:
    """Hold a task and the way in which it is measured."""

    task: EvaluationTask
    method: Method
    file: Path | None = None  # that holds the set, where it was named instead of a task

    @property
    def name(self) -> str:
        """Return the name under which results are reported: it has the method where that is not the task's first."""
        is_default = self.method == self.task.default_method
        return self.task.name if is_default else f"{self.task.name}:{self.method}"


@cache
def known_tasks() -> Mapping[str, EvaluationTask]:
    """Return the tasks that the project comes with, by name, in order."""
    return MappingProxyType({file.stem: read_task(file) for file in sorted(_FOLDER.glob(f"*{TASK_FILE}"))})


def read_task(file: Path) -> EvaluationTask:
    """Read a task file.

    Raises:
        BadInput: there is no such file, or the first key that is wrong.
    """
    try:
        values = read_toml(file)
    except FileNotFoundError:
        raise BadInput(f"there is no task file {file}", key=str(file)) from None
    except UnreadableFile as error:
        raise BadInput(f"{file} {error}", key=str(file)) from None
    try:
        return EvaluationTask.model_validate({**values, "name": file.stem})
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda mistake: mistake["type"] != "extra_forbidden")
    key = ".".join(map(str, first["loc"])) or file.stem
    reason = "is not a key of a task file" if first["type"] == "extra_forbidden" else f": {first['msg']}"
    raise BadInput(f"{file}: {key} {reason}; docs/evaluation.md explains the keys", key=key) from None


def choose_task(name: str) -> ChosenTask:
    """Return the task of a name or of a task file, to be measured in the way that the name says.

    Raises:
        BadInput: there is no such task, or it can't be measured so.
    """
    plain, _, method = name.partition(":")
    task = read_task(Path(plain)) if plain.endswith(TASK_FILE) else known_tasks().get(plain)
    if task is None:
        near = get_close_matches(plain.lower(), known_tasks(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BadInput(
            f"evaluation.tasks: there is no task {plain!r}; {hint}known are {', '.join(known_tasks())}; name a task or "
            "a set of your own by its file",
            key="evaluation.tasks",
        )
    for known in task.methods:
        if method in ("", known):
            return ChosenTask(task=task, method=known)
    raise BadInput(
        f"evaluation.tasks: {plain} can't be measured by {method!r}; it can by {', '.join(task.methods)}",
        key="evaluation.tasks",
    )
