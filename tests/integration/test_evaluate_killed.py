"""Kill an evaluation in the middle with SIGKILL, and let the same command go on, on real engines."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from driver.evaluation.judging import JudgedRow, read_rows
from driver.tracking.run_folder import RunFolder
from tests.commands import killed_when, run_project
from tests.integration.conftest import TinyModels, write_config

ITEMS = 16
LANGUAGES = ("en", "de", "sw")
LEFT = "Left by the first start."
"""Put in place of one response that the killed command had kept: it must still be there at the end."""


@dataclass(frozen=True, kw_only=True)
class GoneOn:
    """Hold an evaluation that was killed and went on, and one that was never stopped."""

    kept: list[str]  # keys of the items that the killed command had answered
    rows: list[JudgedRow]
    never_stopped: list[JudgedRow]
    journals: list[Path]  # that are left at the end


@pytest.fixture(scope="module")
def gone_on(tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> GoneOn:
    place = tmp_path_factory.mktemp("killed")
    write_sets(place / "sets")
    words = (
        *("evaluate", str(tiny_models.policy), str(write_config(place, tiny_models))),
        *("--tasks=mgsm-rev2,xcopa", f"--languages={','.join(LANGUAGES)}", f"--data={place / 'sets'}"),
        *("evaluation.max_response_tokens=32", "policy.max_num_seqs=2", f"run.folder={place}"),
    )
    run, whole = RunFolder(place / "killed"), RunFolder(place / "whole")
    journal = run.evaluations / f"{tiny_models.policy.name}.jsonl"
    with killed_when(
        lambda: len(lines_of(journal)) > 8, (*words, "run.name=killed"), folder=place, environment=environment
    ):
        pass
    kept = mark_first(journal)
    for name in ("killed", "whole"):
        finished = run_project(*words, f"run.name={name}", cwd=place, environment=environment)
        assert finished.code == 0, finished.stderr
    return GoneOn(
        kept=kept,
        rows=rows_of(run),
        never_stopped=rows_of(whole),
        journals=[*run.evaluations.glob("*.jsonl"), *whole.evaluations.glob("*.jsonl")],
    )


def write_sets(folder: Path) -> None:
    for name in ("mgsm-rev2", "xcopa"):
        (folder / name).mkdir(parents=True)
    rows = [{"id": number, "question": f"2 + {number}?", "answer": str(2 + number)} for number in range(1, ITEMS + 1)]
    for language in LANGUAGES:
        (folder / "mgsm-rev2" / f"{language}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    choices = {"choice1": "Choo kilijaa maji.", "choice2": "Maji yalitiririka.", "question": "effect", "label": 1}
    rows = [{"premise": f"Mwanaume alifungua bomba {number}.", "idx": number, **choices} for number in range(ITEMS)]
    (folder / "xcopa" / "test.sw.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def lines_of(journal: Path) -> list[str]:
    return journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []


def mark_first(journal: Path) -> list[str]:
    """Replace the first response in a journal whose last line the kill may have cut; return the keys of its items."""
    digest, first, *others = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    answered = json.loads(first)
    answered["responses"][0]["text"] = LEFT
    journal.write_text("".join([digest, json.dumps(answered) + "\n", *others]), encoding="utf-8")
    return [answered["key"], *(json.loads(line)["key"] for line in others if line.endswith("\n"))]


def rows_of(folder: RunFolder) -> list[JudgedRow]:
    (file,) = folder.evaluations.glob("*.parquet")
    return read_rows(file)


def key_of(row: JudgedRow) -> str:
    return f"{row.task}/{row.language}/{row.item_id}"


def test_the_kill_came_in_the_middle(gone_on: GoneOn) -> None:
    assert 0 < len(gone_on.kept) < len(gone_on.rows) == ITEMS * (len(LANGUAGES) + 1)
    assert gone_on.journals == []


def test_an_answered_item_is_not_asked_again(gone_on: GoneOn) -> None:
    left = [key_of(row) for row in gone_on.rows if row.response == LEFT]
    assert left == gone_on.kept[:1]


def test_all_else_is_as_if_it_had_never_been_stopped(gone_on: GoneOn) -> None:
    first = gone_on.kept[0]
    found, expected = (
        [replace(row, choice_logprobs=()) for row in rows if key_of(row) != first]
        for rows in (gone_on.rows, gone_on.never_stopped)
    )
    assert found == expected
    for row, whole in zip(gone_on.rows, gone_on.never_stopped, strict=True):
        assert row.choice_logprobs == pytest.approx(whole.choice_logprobs, rel=1e-3)
