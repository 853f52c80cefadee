"""Check in short what `make chaos` checks at length: a run with a few faults reaches its end, and `verify` passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.injection import FaultInjection, clean_environment
from tests.chaos.outcome import verify
from tests.chaos.plan import FaultType, plan
from tests.chaos.tiny_run import TinySettings, prepare

STEPS = 8
FAULTS: tuple[FaultType, ...] = (
    ("policy", "kill"),
    ("scorer", "hang"),
    ("learner", "kill"),
    ("driver", "kill_shards"),
    ("driver", "kill_rename"),
)


@dataclass(frozen=True, kw_only=True)
class Survived:
    """Hold what was found when the run had ended."""

    starts: int
    left_behind: tuple[str, ...]
    exit_code: int  # of `verify`
    verified: Mapping[str, object]  # JSON of `verify`
    said: str  # by `verify`


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory, ray_folder: Path) -> Survived:
    settings = TinySettings(steps=STEPS, seed=5, checkpoint_every=2, pace_s=1.5)
    run = prepare(tmp_path_factory.mktemp("chaos"), settings)
    faults = plan(FAULTS, steps=STEPS, seed=5, dead_after_s=settings.dead_after_s)
    with FaultInjection(run, environment=clean_environment(ray_folder), stall_s=240) as injection:
        injection.inject(faults)
    exit_code, verified, said = verify(run.folder.path)
    return Survived(
        starts=injection.starts,
        left_behind=tuple(injection.left_behind),
        exit_code=exit_code,
        verified=verified,
        said=said,
    )


def test_verify_finds_every_group_learned_from_or_dropped_once(survived: Survived) -> None:
    assert survived.verified["violations"] == [], survived.said
    assert survived.exit_code == 0


def test_the_run_has_reached_its_end_with_every_step(survived: Survived) -> None:
    assert (survived.verified["status"], survived.verified["steps"]) == ("finished", STEPS)
    assert survived.verified["learned"] != 0


def test_a_driver_that_was_killed_while_a_checkpoint_was_written_and_while_it_was_named_went_on(
    survived: Survived,
) -> None:
    assert (survived.starts, survived.verified["resumes"]) == (3, 2)


def test_no_process_outlives_its_driver(survived: Survived) -> None:
    assert survived.left_behind == ()
