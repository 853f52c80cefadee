"""Test the program as an installed package, laid out as pyproject.toml says that the wheel is, without building one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.paths import HOME_VARIABLE, JOB_VARIABLE
from driver.cli import COMMANDS
from tests.installed import PLACES, PYPROJECT, lay_out
from tests.unit.test_import_rules import FLOORS

pytestmark = pytest.mark.slow  # each starts the program

CONFIG = (
    '[policy]\nmodel = "./model"\n[pivot]\nmodel = "./model"\n[scorer]\nmodel = "./model"\n[algorithm]\nsteps = 1\n'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay the files out as the wheel does, and return the folder that holds the package."""
    return lay_out(tmp_path_factory.mktemp("site"))


def run_installed(site: Path, here: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m pb_rlsvr WORDS` in the folder `here`."""
    kept = {name: value for name, value in os.environ.items() if name not in (HOME_VARIABLE, JOB_VARIABLE)}
    return subprocess.run(
        [sys.executable, "-m", "pb_rlsvr", *words],
        cwd=here,
        env=kept | {"PYTHONPATH": str(site)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_has_every_room_and_the_configs_below_one_package() -> None:
    assert {*FLOORS, "quickstart", "configs"} <= PLACES.keys()
    assert {place.split("/")[0] for place in PLACES.values()} == {"pb_rlsvr"}
    assert PYPROJECT["project"]["scripts"]["pb-rlsvr"] == "pb_rlsvr.__main__:main"


def test_an_installed_program_names_itself_and_explains_its_commands(site: Path, tmp_path: Path) -> None:
    done = run_installed(site, tmp_path, "-h")
    assert done.returncode == 0
    assert "usage: pb-rlsvr " in done.stdout
    assert all(command in done.stdout for command in COMMANDS)
    assert run_installed(site, tmp_path, "--version").stdout.startswith("PB-RLSVR ")


def test_relative_paths_start_at_the_current_folder_and_the_projects_configs_are_found(
    site: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(CONFIG, encoding="utf-8")
    refused = run_installed(site, tmp_path, "plan", "mine.toml")
    assert refused.returncode == 2
    assert str(tmp_path / "model") in refused.stderr
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
    assert run_installed(site, tmp_path, "plan", "mine.toml").returncode == 0
    quickstart = run_installed(site, tmp_path, "plan", "configs/quickstart.toml")
    assert quickstart.returncode == 2  # the package's own config is found; its models are not in this folder
    assert str(tmp_path / ".cache" / "models") in quickstart.stderr


def test_a_submitted_job_of_an_installed_program_is_told_to_name_its_folder(site: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CONFIG, encoding="utf-8")
    in_job = {JOB_VARIABLE: "{}"}
    refused = run_installed(site, tmp_path, "plan", "mine.toml", **in_job)
    assert refused.returncode == 2
    assert HOME_VARIABLE in refused.stderr
    named = run_installed(site, tmp_path, "plan", "mine.toml", **in_job, **{HOME_VARIABLE: str(tmp_path / "home")})
    assert str(tmp_path / "home" / "model") in named.stderr
