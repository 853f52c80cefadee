"""Evaluate tiny models on tasks with real engines: files, log-likelihoods beside transformers', going on, steps."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from driver.evaluation.judging import JudgedRow, read_rows
from driver.evaluation.record import read_record
from driver.evaluation.results import read_evaluations
from driver.tracking.run_folder import RunFolder
from tests.commands import run_project
from tests.integration.conftest import TinyModels, write_config

PREMISES = ("Mwanaume alifungua bomba la maji.", "Msichana aliona mdudu kwenye uji wake.")
WORDS = (
    "--tasks=mgsm-rev2,xcopa,builtin-texts",
    "--languages=en,de,sw",
    "--items=2",
    "--json",
    "evaluation.max_response_tokens=8",
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    (folder / "mgsm-rev2").mkdir()
    for language in ("en", "de", "sw"):
        rows = [{"id": number, "question": f"2 + {number}?", "answer": str(2 + number)} for number in (1, 2)]
        lines = "\n".join(map(json.dumps, rows))
        (folder / "mgsm-rev2" / f"{language}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "xcopa").mkdir()
    rows = [
        {"premise": premise, "choice1": "Choo kilijaa maji.", "choice2": "Maji yalitiririka.", "question": "effect"}
        | {"label": 1, "idx": number}
        for number, premise in enumerate(PREMISES)
    ]
    (folder / "xcopa" / "test.sw.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def evaluated(
    sets: Path, tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    """Evaluate a model twice under one name: the second command finds everything done."""
    place = tmp_path_factory.mktemp("evaluated")
    words = ("evaluate", str(tiny_models.policy), str(write_config(place, tiny_models)), *WORDS, f"--data={sets}")
    named = (f"run.folder={place}", "run.name=tasks")
    first = run_project(*words, *named, cwd=place, environment=environment)
    again = run_project(*words, *named, cwd=place, environment=environment)
    assert again.summary["models"] == first.summary["models"]
    assert "evaluating" not in again.stderr
    return RunFolder(place / "tasks")


def rows_of(folder: RunFolder, task: str) -> list[JudgedRow]:
    (file,) = folder.evaluations.glob("*.parquet")
    return [row for row in read_rows(file) if row.task == task]


def test_every_file_is_there_and_no_journal_is_left(evaluated: RunFolder) -> None:
    names = {path.name for path in evaluated.path.iterdir()}
    assert names >= {
        "results.json",
        "results.csv",
        "results.md",
        "results.tex",
        "evaluation.json",
        "summary.json",
        "report.html",
    }
    assert list(evaluated.evaluations.glob("*.jsonl")) == []


def test_every_item_has_its_row(evaluated: RunFolder) -> None:
    (found,) = read_record(evaluated.path).values()
    numbers = {result.task: result for result in (found.result, *found.result.more)}
    assert [(one.language, one.num_items) for one in numbers["mgsm-rev2"].languages] == [
        ("en", 2),
        ("de", 2),
        ("sw", 2),
    ]
    assert [(one.language, one.num_items) for one in numbers["xcopa"].languages] == [("sw", 2)]
    assert [(one.language, one.num_texts) for one in numbers["builtin-texts"].texts] == [
        ("en", 2),
        ("de", 2),
        ("sw", 2),
    ]
    assert len(rows_of(evaluated, "mgsm-rev2")) == 6


def test_log_likelihoods_are_those_of_transformers(evaluated: RunFolder, tiny_models: TinyModels) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_models.policy)
    model = AutoModelForCausalLM.from_pretrained(tiny_models.policy, dtype=torch.float32)

    def likelihood(context: str, continuation: str) -> float:
        before, whole = tokenizer.encode(context), tokenizer.encode(context + continuation)
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([whole])).logits[0].double(), dim=-1)
        return sum(logprobs[place - 1, whole[place]].item() for place in range(len(before), len(whole)))

    for row, premise in zip(rows_of(evaluated, "xcopa"), PREMISES, strict=True):
        context = f"{premise[:-1]} kwa hiyo"
        expected = [likelihood(context, text) for text in (" choo kilijaa maji.", " maji yalitiririka.")]
        assert row.choice_logprobs == pytest.approx(expected, rel=2e-2)  # the engine computes in bfloat16


def test_other_tasks_under_the_same_name_are_refused(
    evaluated: RunFolder, sets: Path, tiny_models: TinyModels, environment: dict[str, str]
) -> None:
    place = evaluated.path.parent
    words = ("evaluate", str(tiny_models.policy), str(write_config(place, tiny_models)), "--tasks=mgsm-rev2")
    named = (f"--data={sets}", f"run.folder={place}", "run.name=tasks")
    refused = run_project(*words, *named, cwd=place, environment=environment)
    assert refused.code == 2
    assert "run.name" in refused.errors[-1]


def test_a_run_is_evaluated_between_its_steps_and_compared_with_itself(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    config = str(write_config(tmp_path, tiny_models))
    words = ("evaluation.every_steps=1", "algorithm.steps=2", "run.name=steps", f"run.folder={tmp_path}")
    run_project("train", config, *words, "--json", cwd=tmp_path, environment=environment).summary  # noqa: B018
    folder = RunFolder(tmp_path / "steps")
    assert set(read_evaluations(folder.evaluation)) == {"before", "step-1", "after"}
    assert {path.stem for path in folder.evaluations.iterdir()} == {"before", "step-1", "after"}
    compared = run_project("compare", str(folder.path), "--json", cwd=tmp_path, environment=environment).summary
    assert Path(compared["comparison"]).is_file()
