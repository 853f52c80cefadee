"""Write the config that trains on translated questions: what `translate` was given, with its own rows as the data."""

from collections.abc import Sequence
from pathlib import Path

from contracts.config.data import FileSource, ProblemColumns
from contracts.config.layers import parse_override
from contracts.config.run import Config
from contracts.files import write_whole
from driver.first_config.text import Choices, config_text
from driver.translation.journal import QUESTIONS

TRAINING_CONFIG = "train.toml"
_OTHERS = ("run", "translate", "translator", "data", "evaluation")
"""Sections whose overrides are of the translation only, or are written here."""


def write_training_config(folder: Path, config: Config, *, extends: Path, overrides: Sequence[str]) -> Path:
    """Write the config into the folder of the rows, and return its path; one that is there is kept.

    Where the evaluation reads the file that was translated, it reads the rows, too: they have the English questions.

    Args:
        folder: of the rows.
        config: with which they were translated, with absolute paths.
        extends: the file of that config.
        overrides: `section.key=value` on top of it.
    """
    path = folder / TRAINING_CONFIG
    if path.exists():
        return path
    choices = Choices(title="Made by `translate`: learn from the questions that it wrote.", extends=str(extends))
    for key, value in map(parse_override, overrides):
        if key.partition(".")[0] not in _OTHERS:
            choices.put(key, value)
    into = config.translate.into
    choices.put("data.languages", list(config.data.languages if into == ("en",) else into))
    _put_rows(choices, "data", folder / QUESTIONS)
    data, evaluation = config.data, config.evaluation
    if isinstance(data, FileSource) and isinstance(evaluation, FileSource) and data.path == evaluation.path:
        _put_rows(choices, "evaluation", folder / QUESTIONS)
    write_whole(path, config_text(choices))
    return path


def _put_rows(choices: Choices, section: str, rows: Path) -> None:
    """Put the rows as a section's source: their columns have the usual names, and say every row's language."""
    choices.put(f"{section}.source", "jsonl")
    choices.put(f"{section}.path", str(rows))
    choices.put(f"{section}.columns", ProblemColumns().by_meaning)
