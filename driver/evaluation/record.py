"""Keep the results of several models in one folder: JSON, CSV, LaTeX and Markdown, renewed after each model."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import BadInput
from contracts.files import write_whole
from contracts.user_files import read_user_json
from driver.evaluation.results import EvaluationResult
from driver.evaluation.tables import Results, all_results, as_csv, as_latex, as_markdown

JSON = "results.json"
TABLES = {"results.csv": as_csv, "results.tex": as_latex, "results.md": as_markdown}


def slug_of(name: str) -> str:
    """Return a model's name as a file can have it."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelResult:
    """Hold the results of one model."""

    name: str  # as it is shown
    digest: str  # of what was evaluated
    result: EvaluationResult  # of the first task, with those of the others


def read_record(folder: Path) -> dict[str, ModelResult]:
    """Return the results that a folder holds, by model; empty where it holds none.

    Raises:
        BadInput: the file is damaged.
    """
    file = folder / JSON
    if not file.exists():
        return {}
    record = read_user_json(file, key=JSON)
    try:
        if not isinstance(record, dict):
            raise TypeError
        return {
            name: ModelResult(
                name=name, digest=found["digest"], result=EvaluationResult.from_json(json.dumps(found["result"]))
            )
            for name, found in record.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{file} is no record of evaluations; move it away", key=JSON) from None


def write_record(folder: Path, results: Mapping[str, ModelResult]) -> None:
    """Write all results, and their tables."""
    record = {
        name: {"digest": found.digest, "result": json.loads(found.result.to_json())} for name, found in results.items()
    }
    write_whole(folder / JSON, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    for file, table in TABLES.items():
        write_whole(folder / file, table(by_model(results)))


def by_model(results: Mapping[str, ModelResult]) -> Results:
    """Return the results of each model as tables want them."""
    return {name: all_results(found.result) for name, found in results.items()}
