"""Check with Prometheus' own tool that each alert fires when it should, and not otherwise."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from driver.monitoring.alerts import ALERTS, rule_file
from driver.monitoring.files import monitoring_files, write_files

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="no promtool is on PATH (Debian package prometheus)")


@dataclass(frozen=True, kw_only=True)
class Case:
    """Hold series for one alert: values a minute apart, "AxB" is A again and again, B times, after the first."""

    fires: Mapping[str, str]
    fine: Mapping[str, str]
    at: str  # when it has fired


CASES = {
    "LearnerStarved": Case(
        fires={'timing_s{run="a",stage="wait"}': "6x30", 'timing_s{run="a",stage="step"}': "10x30"},
        fine={'timing_s{run="a",stage="wait"}': "4x30", 'timing_s{run="a",stage="step"}': "10x30"},
        at="20m",
    ),
    "WorkerStale": Case(
        fires={'actor_versions_behind{run="a",actor="policy-1"}': "3x30"},
        fine={'actor_versions_behind{run="a",actor="policy-1"}': "2x30"},
        at="15m",
    ),
    "ActorNotServing": Case(
        fires={'actor_serving{run="a",actor="scorer-0"}': "0x30"},
        fine={'actor_serving{run="a",actor="scorer-0"}': "0 0 0 0 0 1 0x24"},
        at="14m",
    ),
    "LanguageConsistencyFalls": Case(
        fires={'lang_language_consistency{run="a",language="sw"}': "0.9x5 0.6x30"},
        fine={
            'lang_language_consistency{run="a",language="sw"}': "0.9x5 0.8x30",
            'lang_language_consistency{run="a",language="all"}': "0.9x5 0.1x30",
        },
        at="25m",
    ),
    "RewardWithoutSpread": Case(
        fires={'group_reward_std{run="a"}': "0.001x60"},
        fine={'group_reward_std{run="a"}': "0.1x60"},
        at="40m",
    ),
    "DiskNearlyFull": Case(
        fires={'disk_free_share{run="a"}': "0.05x30"},
        fine={'disk_free_share{run="a"}': "0.2x30"},
        at="10m",
    ),
}


def repeated(values: str) -> str:
    """Return values as promtool writes them: AxB is A+0xB."""
    return " ".join(value.replace("x", "+0x") for value in values.split())


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["fires", "fine"])
def test_an_alert_fires_when_it_should_and_only_then(name: str, kind: str, tmp_path: Path) -> None:
    assert PROMTOOL is not None
    case = CASES[name]
    (tmp_path / "alerts.yml").write_text(rule_file(), encoding="utf-8")
    given = case.fires if kind == "fires" else case.fine
    series = [{"series": f"ray_pb_rlsvr_{labels}", "values": repeated(values)} for labels, values in given.items()]
    # Written out as a count: what an alert says is not tested.
    expected = [{"labels": "{}", "value": 1}] if kind == "fires" else []
    firing = {
        "expr": f'count by () (ALERTS{{alertname="{name}",alertstate="firing"}})',
        "eval_time": case.at,
        "exp_samples": expected,
    }
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [firing]}
    cases = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "cases.yml").write_text(json.dumps(cases), encoding="utf-8")
    done = subprocess.run([PROMTOOL, "test", "rules", tmp_path / "cases.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_config_that_is_written_is_one_of_prometheus(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    write_files(monitoring_files(tmp_path, runs=tmp_path / "runs", prometheus="http://127.0.0.1:9090"))
    config = tmp_path / "prometheus" / "prometheus.yml"
    done = subprocess.run([PROMTOOL, "check", "config", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
