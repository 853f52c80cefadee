"""Test for which runs the cache is searched for every reference: only where the pivot writes nothing else."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from driver.late_pivot import planned_late_roles
from tests.builders import a_config
from tests.runs.cached_references import filled


def notes_of(cache: str, **sections: Mapping[str, object]) -> list[str]:
    """Return what `plan` says about a config whose pivot is on the hub, where it can't look for its references."""
    notes: list[str] = []
    assert planned_late_roles(a_config({"pivot": {"cache": cache}}, sections), note=notes.append) == ()
    return notes


def test_a_plan_downloads_no_pivot_to_look_for_its_references(tmp_path: Path) -> None:
    filled(tmp_path, "some")
    (note,) = notes_of(str(tmp_path))
    assert "pivot.model" in note and "data.path" not in note


@pytest.mark.parametrize(
    "sections",
    [
        {"reward": {"reasoning": {"method": "translation", "translator": "pivot"}}},
        {"algorithm": {"name": "sft", "groups_per_step": 4, "sft_target": "translation"}},
    ],
)
def test_a_pivot_that_does_more_than_references_or_none_is_not_looked_up(
    tmp_path: Path, sections: Mapping[str, Mapping[str, object]]
) -> None:
    filled(tmp_path, "some")
    assert notes_of(str(tmp_path), **sections) == []


def test_without_a_cache_there_is_nothing_to_look_up(tmp_path: Path) -> None:
    assert notes_of("off") == []
    assert notes_of(str(tmp_path / "absent")) == []
    assert not (tmp_path / "absent").exists()
