"""Test the two parts of one file, to learn from and to evaluate on, and items that can't be evaluated."""

import json
from pathlib import Path

import pytest

from contracts.config.data import FileData, FileEvaluation
from driver.problems.sources import ProblemSource, open_source
from tests.refusals import refused

NUM_ITEMS = 100


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write items in two languages, every tenth with an answer in words."""
    rows = [
        {
            "item_id": item,
            "language": language,
            "question": f"{language} {item}",
            "question_en": f"en {item}",
            "answer": "many" if item % 10 == 0 else item,
        }
        for item in range(NUM_ITEMS)
        for language in ("de", "sw")
    ]
    path = tmp_path / "problems.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def data(file: Path, **settings: object) -> ProblemSource:
    config = FileData.model_validate({"source": "jsonl", "path": str(file), "languages": ["de", "sw"], **settings})
    return open_source(config, languages=config.languages, seed=1)


def evaluation(file: Path, **settings: object) -> ProblemSource:
    config = FileEvaluation.model_validate({"source": "jsonl", "path": str(file), **settings})
    return open_source(config, languages=("en", "de"), seed=1, needs_english=False)


def items(source: ProblemSource, language: str) -> set[int]:
    return {int(source.problem(language, position).item_id) for position in range(source.counts[language])}


def test_the_two_splits_share_no_item_and_are_the_whole_file(file: Path) -> None:
    train, test = data(file, split="train"), evaluation(file, split="test")
    assert items(train, "de") == items(train, "sw")
    assert items(test, "en") == items(test, "de")
    assert items(train, "de") | items(test, "de") == set(range(NUM_ITEMS))
    assert not items(train, "de") & items(test, "de")
    assert 10 < len(items(test, "de")) < 30  # about a fifth
    assert items(data(file), "de") == set(range(NUM_ITEMS))


def test_an_item_stays_in_its_split_when_the_file_grows_or_is_sorted_in_another_way(file: Path) -> None:
    before = items(data(file, split="test"), "de")
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(reversed(lines[50:])), encoding="utf-8")
    assert items(data(file, split="test"), "de") == {item for item in before if item >= 25}


def test_the_splits_have_different_fingerprints_and_say_what_they_leave(file: Path) -> None:
    train, test = data(file, split="train"), data(file, split="test")
    assert len({train.fingerprint, test.fingerprint, data(file).fingerprint}) == 3
    assert str(2 * len(items(test, "de"))) in " ".join(train.notes)


def test_items_without_a_number_are_left_out_of_an_evaluation_and_counted(file: Path) -> None:
    kept = evaluation(file, on_bad_item="skip")
    assert items(kept, "de") == items(kept, "en") == {item for item in range(NUM_ITEMS) if item % 10}
    assert "10" in " ".join(kept.notes) and "'many'" in " ".join(kept.notes)
    assert items(evaluation(file), "de") == set(range(NUM_ITEMS))  # it is refused where it is asked for a number
    assert items(data(file, on_bad_item="skip"), "de") == set(range(NUM_ITEMS))  # nothing is learned from an answer


def test_an_evaluation_of_nothing_is_refused(file: Path) -> None:
    rows = [json.loads(line) | {"answer": "many"} for line in file.read_text(encoding="utf-8").splitlines()]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with refused("answer", "'many'"):
        evaluation(file, on_bad_item="skip")
