"""Evaluate a model with the project's own command, and write its items, prompts and answers for the package's side.

    python -m benchmarks.eval_check.our_side FOLDER [--data FOLDER] [--items 2] [--max-tokens 64]

FOLDER/ours.json holds them. A set that is absent is left out, with a line that says so.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from contracts.config.load import load_run_config
from contracts.paths import ROOT
from driver.config_paths import with_absolute_paths
from driver.evaluation.asking.prompts import ChatPrompts
from driver.evaluation.inputs import prepare_evaluation
from driver.evaluation.judging import JudgedRow, read_rows
from driver.evaluation.plan import PlannedTask
from driver.evaluation.sets.item import Item
from driver.evaluation.sets.rows import open_rows
from driver.evaluation.tasks.registry import choose_task

MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct"
FIXTURE = Path(__file__).parent / "belebele"
"""A small set of Belebele's form, written for this check."""


def main() -> int:
    """Evaluate, and write what the package's side needs. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="has mgsm/ and xcopa_val/")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--items", type=int, default=2, help="of MGSM and XCOPA, in each language")
    parser.add_argument("--max-tokens", type=int, default=64, help="of a response")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    sets = {"belebele:likelihood": FIXTURE}
    for task, name in (("mgsm", "mgsm"), ("xcopa", "xcopa_val")):
        if (arguments.data / name).is_dir():
            sets[task] = arguments.data / name
        else:
            print(f"left out: {task}, because there is no folder {arguments.data / name} (--data FOLDER)")
    for task, place in sets.items():
        items = 6 if task.startswith("belebele") else arguments.items
        code = _evaluate(folder, arguments.model, task, place, items, max_tokens=arguments.max_tokens)
        if code:
            return code
    records = [_record(folder / "runs" / _run_name(task), place) for task, place in sets.items()]
    written = {"model": str(arguments.model), "max_tokens": arguments.max_tokens, "tasks": records}
    (folder / "ours.json").write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    return 0


def _run_name(task: str) -> str:
    return task.partition(":")[0]


def _evaluate(folder: Path, model: Path, task: str, place: Path, items: int, *, max_tokens: int) -> int:
    """Run the command `evaluate` in float32; return its exit code."""
    words = [
        *("evaluate", str(model), "--tasks", task, "--items", str(items), "--data", f"{_run_name(task)}={place}"),
        *("policy.dtype=float32", f"evaluation.max_response_tokens={max_tokens}"),
        *(f"run.folder={folder / 'runs'}", f"run.name={_run_name(task)}"),
    ]
    return subprocess.run([sys.executable, str(ROOT / "driver" / "run.py"), *words], check=False).returncode


def _record(run: Path, place: Path) -> dict[str, object]:
    """Return the items of an evaluated task in each language, with what was asked and answered."""
    plan = prepare_evaluation(with_absolute_paths(load_run_config(run / "config.toml"), models=("policy",))).plan
    (task,), (file,) = plan.tasks, (run / "evaluations").glob("*.parquet")
    definition = choose_task(run.name).task
    rows = {(row.language, row.item_id): row for row in read_rows(file)}
    languages = []
    for code in plan.languages:
        items = [item for item in task.items if item.language == code]
        (table,) = open_rows(definition, definition.data, place, code=code)
        found = [
            {"row": row, **_answered(task, item, rows[code, item.item_id])}
            for item, row in zip(items, table.rows(), strict=False)
        ]
        languages.append({"language": code, "set_name": definition.languages[code], "items": found})
    return {"task": run.name, "languages": languages}


def _answered(task: PlannedTask, item: Item, row: JudgedRow) -> dict[str, object]:
    found = {
        "item_id": item.item_id,
        "gold": item.gold,
        "is_correct": row.is_correct,
        "is_correct_by_length": row.is_correct_by_length,
        "response": row.response,
        "logprobs": list(row.choice_logprobs),
        "choices": [[choice.context, choice.continuation] for choice in item.choices],
    }
    if isinstance(task.prompts, ChatPrompts):
        prompts = task.prompts
        found["prompt"] = prompts.template.render(prompts.wording.chat(item, ()), section="policy", is_open=True)
        found["prompt_token_ids"] = list(prompts.prompt(item))
    return found


if __name__ == "__main__":
    sys.exit(main())
