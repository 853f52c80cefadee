"""Check the commands `watch` and `dashboards` from the command line, without a server that serves."""

import json
from pathlib import Path

import pytest

from contracts.config.layers import FORMAT
from driver.cli import main, parse
from driver.tracking.run_folder import TARGETS


def test_watch_needs_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "many"])
def test_a_port_is_a_number(port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path), f"--port={port}"]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_port_that_does_not_exist_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text(f"format = {FORMAT}\n", encoding="utf-8")
    assert main(["watch", str(tmp_path), "--port=70000"]) == 2
    assert "--port" in capsys.readouterr().err


def test_the_port_has_a_default() -> None:
    assert parse(["watch", "runs/a"])[1].port == 8008


def test_dashboards_writes_files_that_name_the_folder_of_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, runs = tmp_path / "monitoring", tmp_path / "my-runs"
    assert main(["dashboards", str(out), "--runs", str(runs), "--json"]) == 0
    files = [Path(path) for path in json.loads(capsys.readouterr().out)["files"]]
    assert len(files) == 5 and all(path.is_file() and path.is_relative_to(out) for path in files)
    assert str(runs / TARGETS) in (out / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")


def test_dashboards_leaves_a_file_of_the_users_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prometheus").mkdir()
    (tmp_path / "prometheus" / "alerts.yml").write_text("mine", encoding="utf-8")
    assert main(["dashboards", str(tmp_path)]) == 2
    assert str(tmp_path / "prometheus" / "alerts.yml") in capsys.readouterr().err
    assert (tmp_path / "prometheus" / "alerts.yml").read_text(encoding="utf-8") == "mine"
