"""Check that a sink that is slow, or fails, neither holds up a run nor ends it."""

import threading
from collections.abc import Mapping
from pathlib import Path
from unittest import TestCase

import pytest

from contracts.config.sinks import SinksConfig
from contracts.errors import BadInput
from driver.sinks.background import BackgroundSink
from driver.sinks.opened import TENSORBOARD, check_sinks, open_sinks


class Kept:
    """Keep what it gets; wait for the gate before each step."""

    def __init__(self, *, fails_at: int = 0) -> None:
        self.heard: list[tuple[str, int]] = []
        self.gate = threading.Event()
        self._fails_at = fails_at

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.gate.wait(30)
        if step == self._fails_at:
            raise ConnectionError("https://me:hunter22@host is down")
        self.heard.append(("step", step))

    def cut_back(self, step: int) -> None:
        self.heard.append(("cut_back", step))

    def close(self) -> None:
        self.heard.append(("close", 0))


def test_steps_are_passed_on_in_order_though_nobody_waits_for_them() -> None:
    kept, told = Kept(), list[str]()
    sink = BackgroundSink("a service", lambda: kept, tell=told.append)
    sink.step(1, {})
    sink.step(2, {})
    sink.cut_back(1)
    assert kept.heard == []
    kept.gate.set()
    sink.close()
    assert kept.heard == [("step", 1), ("step", 2), ("cut_back", 1), ("close", 0)]
    assert told == []


def test_a_failure_is_told_once_and_logged_without_passwords() -> None:
    kept, told = Kept(fails_at=2), list[str]()
    kept.gate.set()
    sink = BackgroundSink("a service", lambda: kept, tell=told.append)
    with TestCase().assertLogs() as logs:
        for step in (1, 2, 3):
            sink.step(step, {})
        sink.close()
        sink.step(4, {})
    assert kept.heard == [("step", 1)]
    assert len(told) == 1 and "ConnectionError" in told[0]
    logged = "\n".join(logs.output)
    assert "hunter22" not in logged + told[0]
    assert "host is down" in logged


def test_a_service_that_can_not_be_opened_is_told() -> None:
    told = list[str]()

    def refuse() -> Kept:
        raise PermissionError

    BackgroundSink("a service", refuse, tell=told.append).close()
    assert len(told) == 1 and "PermissionError" in told[0]


def test_tensorboard_is_always_written(tmp_path: Path) -> None:
    (sink,) = open_sinks(SinksConfig(), tmp_path, after_step=0, tell=lambda text: pytest.fail(text))
    sink.step(1, {"reward/mean": 0.5})
    sink.close()
    (file,) = (tmp_path / TENSORBOARD).iterdir()
    assert b"reward/mean" in file.read_bytes()


@pytest.mark.parametrize("key", ["wandb_project", "mlflow_experiment"])
def test_a_service_without_its_package_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_sinks(SinksConfig())
    with pytest.raises(BadInput) as refused:
        check_sinks(SinksConfig(**{key: "mine"}))
    assert refused.value.key == f"sinks.{key}"
