"""Test task files: all are whole and named, and a mistake in a name or a file is one line about its key."""

from pathlib import Path

import pytest

from driver.evaluation.sets.chosen import choose_tasks
from driver.evaluation.tasks.registry import choose_task, known_tasks, read_task
from driver.language_names import has_file, language_title, script_family
from tests.refusals import refused

TASK = """
title = "Mine"
skill = "logic"
licence = "CC0"
source = "me"
answer = "letter"
languages = ["de"]

[data]
files = ["{language}.jsonl"]

[items]
question = "{question}"
answer = "answer"
options = ["a", "b"]
"""


def test_the_tasks_of_the_field_are_there() -> None:
    assert set(known_tasks()) == {
        *(
            "afrimgsm",
            "belebele",
            "builtin",
            "builtin-texts",
            "flores",
            "global-mmlu",
            "global-mmlu-lite",
            "include",
            "logic",
            "logiqa",
            "mgsm",
        ),
        *("mgsm-rev2", "mlogiqa", "mmath", "mmlu-prox", "mmlu-prox-lite", "msvamp", "polymath", "xcopa"),
        *("xstorycloze", "xwinograd"),
    }


@pytest.mark.parametrize("name", known_tasks())
def test_every_language_of_a_task_has_a_name_and_a_script(name: str) -> None:
    for code in known_tasks()[name].languages:
        assert has_file(code) or language_title(code) != code
        assert script_family(code) != "other"


def test_the_tasks_cover_the_kinds_of_skill_and_of_script() -> None:
    assert {task.skill for task in known_tasks().values()} >= {
        *("arithmetic", "mathematics", "knowledge", "commonsense", "logic")
    }
    families = {script_family(code) for task in known_tasks().values() for code in task.languages}
    assert families >= {"Latin", "Cyrillic", "Han", "Kana", "Hangul", "Arabic", "Thai", "Brahmic"}


@pytest.mark.parametrize("name", ["mgsm-rev", "MGSM-Rev2", "mgsm_rev2"])
def test_a_misspelt_name_is_refused_with_the_nearest(name: str) -> None:
    with refused("evaluation.tasks", repr(name), "did you mean 'mgsm-rev2'"):
        choose_task(name)


def test_a_task_is_measured_in_its_own_way_or_as_its_name_says() -> None:
    assert choose_task("xcopa").method == "likelihood"
    generated = choose_task("xcopa:generate")
    assert (generated.method, generated.name) == ("generate", "xcopa:generate")
    assert choose_task("xcopa:likelihood").name == "xcopa"
    with refused("evaluation.tasks", "mgsm", "likelihood"):
        choose_task("mgsm:likelihood")


def test_a_task_named_twice_is_refused() -> None:
    with refused("evaluation.tasks", "xcopa"):
        choose_tasks(["xcopa", "xcopa:likelihood"])


def test_a_task_file_of_the_users_own_is_a_task(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TASK, encoding="utf-8")
    (chosen,) = choose_tasks([str(file)])
    assert (chosen.name, chosen.task.languages) == ("mine", {"de": "de"})


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (('title = "Mine"', 'titel = "Mine"'), "titel"),
        (('skill = "logic"', 'skill = "singing"'), "skill"),
        (('["de"]', '["German"]'), "languages"),
        (('options = ["a", "b"]', ""), "mine"),  # a letter needs options
        (('"{question}"', '"{question|loud}"'), "items.question"),
        (('answer = "letter"', 'answer = "letter"\nmethods = ["likelihood"]'), "mine"),
    ],
)
def test_a_mistake_in_a_task_file_names_its_key(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TASK.replace(*change), encoding="utf-8")
    with refused(key, str(file)):
        read_task(file)


def test_a_missing_task_file_is_refused(tmp_path: Path) -> None:
    with refused(str(tmp_path / "none.toml")):
        choose_task(str(tmp_path / "none.toml"))


def test_the_page_of_evaluation_has_every_task_with_its_licence() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    missing = [task.name for task in known_tasks().values() if task.licence not in rows.get(task.name, "")]
    assert missing == []
