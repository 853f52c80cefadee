"""Test the message about a model's licence."""

from pathlib import Path

import pytest

from rewards.models.licence import licence_note


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("Unbabel/wmt20-comet-qe-da", {}, "apache-2.0"),
        ("Unbabel/wmt22-cometkiwi-da", {}, "cc-by-nc-sa-4.0: NOT for commercial use"),
        ("mine", {"README.md": "---\nlicense: cc-by-nc-4.0\n---\nA model."}, "NOT for commercial use"),
        ("mine", {"README.md": "---\nlicense: mit\n---\n"}, "its licence is mit"),
        ("mine", {"LICENSE": "Apache License\nVersion 2.0"}, "apache-2.0"),
        ("mine", {"LICENSE.txt": "Attribution-NonCommercial-ShareAlike"}, " non-commercial: NOT for commercial use"),
        ("mine", {"README.md": "no front matter"}, "unknown"),
    ],
)
def test_the_licence_is_said(tmp_path: Path, name: str, files: dict[str, str], said: str) -> None:
    for file, text in files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    note = licence_note(name, tmp_path)
    assert said in note
    assert ("NOT" in note) == ("NOT" in said)


def test_a_translator_that_forbids_commercial_use_says_so_by_its_name_alone() -> None:
    assert "NOT for commercial use" in licence_note("facebook/nllb-200-distilled-600M", Path("nowhere"))


def test_a_licence_file_that_is_not_utf_8_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_bytes("Apache License, \u00a9 1999".encode("latin-1"))
    assert "apache-2.0" in licence_note("mine", tmp_path)
