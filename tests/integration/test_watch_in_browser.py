"""Open the live page in a real browser: of a run that grows, of a finished one and of a very long one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from driver.tracking.line_logs import JsonLines
from driver.tracking.run_folder import RunFolder
from driver.watch.server import PageServer
from driver.watch.state import WatchedRun
from tests.browser import Seen, browser, look
from tests.runs.report_folders import a_training_run

pytestmark = pytest.mark.skipif(browser() is None, reason="no Chromium is on PATH (Debian package chromium)")

PHONE, DESK = 390, 1280
LANGUAGES = ("de", "sw", "th", "zh")


def metrics(step: int) -> dict[str, float]:
    """Return a step's metrics, with four languages and six actors."""
    rising = step / (step + 50)
    return {
        "reward/mean": rising / 2,
        "group/reward_std": 0.2,
        "policy/loss": -0.01,
        "queue/in_flight": 16.0,
        "queue/ready": float(step % 5),
        "staleness/mean": 0.7,
        "throughput/policy_tokens_per_s": 900.0,
        "throughput/learner_tokens_per_s": 1500.0 + step % 7,
        "timing_s/step": 6.0,
        "timing_s/generate": 5.0,
        "timing_s/score": 1.0,
        "timing_s/wait": 2.0,
        "timing_s/learn": 3.0,
        **{f"lang/{code}/accuracy": rising * (place + 1) / 5 for place, code in enumerate(LANGUAGES)},
        **{f"lang/{code}/language_consistency": 0.9 for code in LANGUAGES},
        **{
            f"actor/{actor}/{name}": value
            for actor in ("policy-0", "policy-1", "pivot-0", "learner-0", "learner-1")
            for name, value in (
                ("tokens_per_s", 400.0 + step % 11),
                ("busy_share", 0.8),
                ("waiting_share", 0.2),
                ("queue", 4.0),
                ("serving", 0.0 if actor == "policy-1" else 1.0),
                ("restarts", 0.0),
            )
        },
        "actor/scorer-0/texts_per_s": 12.0,
        "actor/scorer-0/serving": 1.0,
    }  # fmt: skip


def log(folder: Path, steps: range) -> None:
    lines = JsonLines(folder / "metrics.jsonl")
    for step in steps:
        lines.append({"step": step, "time": 1_800_000_000.0 + 6 * step, "metrics": metrics(step)})
    lines.close()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    with PageServer(folder, WatchedRun(RunFolder(folder)), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.address
        finally:
            server.shutdown()
            thread.join()


def shown(address: str, *, step: int, width: int, profile: Path, scheme: Literal["light", "dark"] = "light") -> Seen:
    until = f"document.body.dataset.shown === '{step}'"
    return look(address, width=width, scheme=scheme, profile=profile, until=until)


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark"), (DESK, "light")])
def test_nothing_is_cut_off_nothing_fails_and_nothing_comes_from_elsewhere(
    width: int, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    folder = a_training_run(tmp_path / "run")
    log(folder, range(7, 50))
    with serving(folder) as address:
        seen = shown(address, step=49, width=width, profile=tmp_path / "profile", scheme=scheme)
    assert (seen.errors, seen.wide) == ([], [])
    assert seen.width <= seen.inner == width


def test_a_page_that_is_open_shows_the_steps_that_follow(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    log(folder, range(1, 4))
    with serving(folder) as address:
        grows = threading.Timer(3.0, log, (folder, range(4, 6)))
        grows.start()
        seen = shown(address, step=5, width=DESK, profile=tmp_path / "profile")
        grows.join()
    assert seen.errors == []


def test_a_folder_without_a_step_has_a_page(tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        seen = shown(address, step=0, width=PHONE, profile=tmp_path / "profile")
    assert (seen.errors, seen.wide) == ([], [])


def test_a_run_of_ten_thousand_steps_is_drawn(tmp_path: Path) -> None:
    log(tmp_path, range(1, 10_001))
    with serving(tmp_path) as address:
        seen = shown(address, step=10_000, width=DESK, profile=tmp_path / "profile")
    assert (seen.errors, seen.wide) == ([], [])
