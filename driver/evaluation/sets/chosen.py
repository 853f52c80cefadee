"""Choose tasks by their names, and a set of the user's own by its file."""

import re
from collections.abc import Sequence
from pathlib import Path

from contracts.errors import BadInput, shown
from contracts.user_files import guarded
from driver.evaluation.sets.rows import open_single
from driver.evaluation.tasks.definition import LANGUAGE_CODE, DataPlace, EvaluationTask, ItemColumns, Template
from driver.evaluation.tasks.registry import TASK_FILE, ChosenTask, choose_task, known_tasks
from driver.language_names import known_codes
from driver.problems.tables import Table

OWN_FILES = (".jsonl", ".json", ".parquet", ".csv", ".tsv")


def choose_tasks(names: Sequence[str]) -> tuple[ChosenTask, ...]:
    """Return the tasks of these names and files, in order.

    Raises:
        BadInput: a name is unknown or named twice, or a file can't be read.
    """
    chosen = tuple(map(_choose, names))
    reported = [task.name for task in chosen]
    for name in reported:
        if reported.count(name) > 1:
            raise BadInput(f"evaluation.tasks names {name} twice", key="evaluation.tasks")
    return chosen


def _choose(name: str) -> ChosenTask:
    """Return the task of a name, of a task file, or of a file of the user's own.

    Raises:
        BadInput: the name is unknown, or a file can't be read or is of no known kind.
    """
    plain, _, method = name.partition(":")
    if Path(name).suffix in OWN_FILES:
        return _own_task(Path(name))
    if Path(plain).suffix in OWN_FILES:
        raise BadInput(
            f"evaluation.tasks: a set of your own can't be measured by {method!r}; name {plain} alone, or write a task "
            "file (docs/evaluation.md)",
            key="evaluation.tasks",
        )
    if Path(plain).suffix != TASK_FILE and plain not in known_tasks() and Path(plain).exists():
        raise BadInput(
            f"evaluation.tasks: {plain} is neither a task nor a file of a known kind; files end in "
            f"{', '.join((*OWN_FILES, TASK_FILE))}, and the folder of a task's set is named by --data TASK=FOLDER",
            key="evaluation.tasks",
        )
    return choose_task(name)


def _own_task(file: Path) -> ChosenTask:
    """Return the task of a file with the columns `question`, `answer`, and perhaps `options`, `language`, `item_id`.

    Options are a list, and then the answer is a letter or the text of an option. Without a column of the language the
    file is in the one language that is asked for.
    """
    with guarded(f"{file} can't be read", key="evaluation.tasks"):
        table = open_single(file)
        columns = {column for row in table.rows() for column in row}
    if not columns:
        raise BadInput(f"{file} holds no rows", key="evaluation.tasks")
    if missing := {"question", "answer"} - columns:
        raise BadInput(
            f"{file} has no column {sorted(missing)[0]!r}; a set of your own has the columns question and answer, and "
            "perhaps options, language and item_id",
            key=sorted(missing)[0],
        )
    has_language = "language" in columns
    codes = _languages_of(table) if has_language else known_codes()
    task = EvaluationTask(
        name=re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip("-._") or "own",
        title=file.name,
        skill="own",
        licence="your own",
        source=str(file),
        answer="any",
        languages={code: code for code in codes},
        data=DataPlace(files=(file.name,)),
        items=ItemColumns(
            item_id=("item_id",) if "item_id" in columns else (),
            question=Template(text="{question}"),
            answer="answer",
            options="options" if "options" in columns else (),
            language="language" if has_language else "",
        ),
    )
    return ChosenTask(task=task, method="generate", file=file)


def _languages_of(table: Table) -> Sequence[str]:
    """Return the languages that rows name, in order.

    Raises:
        BadInput: a row names none.
    """
    codes: dict[str, None] = {}
    for number, row in enumerate(table.rows()):
        code = row.get("language")
        if not isinstance(code, str) or not LANGUAGE_CODE.fullmatch(code):
            raise BadInput(
                f"{table.where(number)}: language is {shown(code)}; it must be an ISO 639 code, such as sw",
                key="language",
            )
        codes[code] = None
    return tuple(codes)
