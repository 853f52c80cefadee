"""Test what is said where a cache has references of other settings only."""

from pathlib import Path

from driver.references.cache import ReferenceCache
from driver.references.origins import FOLDER
from tests.builders import a_reference

ORIGIN = {"pivot.model": "models/tiny (12ab)", "run.date": "2026-05-04", "pivot.temperature": "0", "prompt": "56ef"}
TOMORROW = {**ORIGIN, "run.date": "2026-05-05", "prompt": "78ab"}


def notes_of(folder: Path, origin: dict[str, str]) -> list[str]:
    notes: list[str] = []
    ReferenceCache(folder, note=notes.append, origin=origin)
    return notes


def fill(folder: Path, origin: dict[str, str] | None, *, name: str = "a") -> None:
    cache = ReferenceCache(folder, note=lambda text: None, origin=origin)
    cache.add(a_reference(key=name.encode().hex().ljust(32, "0")))
    cache.save()


def test_an_empty_cache_and_one_of_the_same_settings_need_no_word(tmp_path: Path) -> None:
    assert notes_of(tmp_path, ORIGIN) == []
    fill(tmp_path, ORIGIN)
    assert notes_of(tmp_path, ORIGIN) == []


def test_references_of_another_date_are_named_in_one_line(tmp_path: Path) -> None:
    fill(tmp_path, ORIGIN)
    fill(tmp_path, {**ORIGIN, "pivot.temperature": "0.5", "run.date": "2026-04-01"}, name="b")
    (note,) = notes_of(tmp_path, TOMORROW)
    assert "run.date 2026-05-04 (here 2026-05-05)" in note
    assert "\n" not in note and "temperature" not in note and "prompt" not in note


def test_another_prompt_is_named_where_nothing_else_differs(tmp_path: Path) -> None:
    fill(tmp_path, ORIGIN)
    (note,) = notes_of(tmp_path, {**ORIGIN, "prompt": "78ab"})
    assert "prompt 56ef (here 78ab)" in note


def test_references_of_an_earlier_version_are_said_to_be_unused(tmp_path: Path) -> None:
    fill(tmp_path, None)
    assert len(notes_of(tmp_path, ORIGIN)) == 1
    fill(tmp_path, ORIGIN, name="b")
    assert notes_of(tmp_path, ORIGIN) == []


def test_a_damaged_note_of_other_settings_is_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, ORIGIN)
    (tmp_path / FOLDER / "damaged.json").write_text("{", encoding="utf-8")
    (tmp_path / FOLDER / "list.json").write_text("[1]", encoding="utf-8")
    (note,) = notes_of(tmp_path, TOMORROW)
    assert "run.date" in note
