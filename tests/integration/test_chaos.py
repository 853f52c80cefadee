"""The chaos suite's short form: a run of a few steps, struck by hand-picked faults, and the audit of its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.outcome import verify
from tests.chaos.plan import Hit, plan
from tests.chaos.siege import Siege, clean_environment
from tests.chaos.tiny_run import TinySettings, prepare

STEPS = 8
HITS: tuple[Hit, ...] = (("policy", "kill"), ("scorer", "hang"), ("learner", "kill"), ("driver", "kill_all"))


@dataclass(frozen=True, kw_only=True)
class Survived:
    """What was there when the run had come to its end."""

    starts: int
    left_behind: tuple[str, ...]
    audit_code: int
    audit: Mapping[str, object]
    said: str


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory, ray_folder: Path) -> Survived:
    settings = TinySettings(steps=STEPS, seed=5, checkpoint_every=2, pace_s=1.5)
    run = prepare(tmp_path_factory.mktemp("chaos"), settings)
    faults = plan(HITS, steps=STEPS, seed=5, dead_after_s=settings.dead_after_s)
    with Siege(run, environment=clean_environment(ray_folder), stall_s=240) as siege:
        siege.endure(faults)
    code, audit, said = verify(run.folder.path)
    return Survived(starts=siege.starts, left_behind=tuple(siege.left_behind), audit_code=code, audit=audit, said=said)


def test_the_auditor_finds_every_group_settled_once(survived: Survived) -> None:
    assert survived.audit["violations"] == [], survived.said
    assert survived.audit_code == 0


def test_the_run_has_come_to_its_end_with_every_step(survived: Survived) -> None:
    assert (survived.audit["status"], survived.audit["steps"]) == ("finished", STEPS)
    assert survived.audit["learned"] != 0


def test_the_killed_driver_was_started_once_more_and_went_on(survived: Survived) -> None:
    assert (survived.starts, survived.audit["resumes"]) == (2, 1)


def test_no_process_outlives_its_driver(survived: Survived) -> None:
    assert survived.left_behind == ()
