"""Test a run on another's cluster that a token protects: as a submitted job, and by its address."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from driver.evaluation.results import read_evaluations
from driver.tracking.run_folder import RunFolder
from tests.commands import ROOT, run_marked, run_project
from tests.installed import lay_out
from tests.integration.conftest import RunningCluster, TinyModels, write_config

MGSM = ROOT.parent / "shared" / "data" / "mgsm"


def test_the_cluster_is_closed_to_those_without_the_token(ray_cluster: RunningCluster) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{ray_cluster.jobs}/api/jobs/", timeout=30)
    assert refused.value.code == 401


def test_a_submitted_job_writes_outside_its_copy(
    ray_cluster: RunningCluster, tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    """Submit from a checkout: the working directory is uploaded without the files that git ignores."""
    config = write_config(tmp_path, tiny_models)
    runtime_env = json.dumps({"env_vars": {"PB_RLSVR_HOME": str(tmp_path / "home")}})
    submit = [str(Path(sys.executable).parent / "ray"), "job", "submit", "--address", ray_cluster.jobs]
    where = ["--working-dir", ".", "--runtime-env-json", runtime_env]
    command = ["python", "driver/run.py", "evaluate", str(config), "run.name=job", "run.folder=out"]
    done = run_marked(
        [*submit, *where, "--", *command],
        cwd=ROOT,
        environment=environment | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(ray_cluster.token_file)},
    )
    said = done.stdout + done.stderr
    assert done.code == 0, said
    assert "succeeded" in said
    folder = RunFolder(tmp_path / "home" / "out" / "job")
    assert {result.language for result in read_evaluations(folder.evaluation)["before"].languages} == {"en", "de", "fr"}
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    assert summary["run_folder"] == str(folder.path)
    assert not (ROOT / "out").exists()


def test_a_submitted_job_of_the_installed_program_writes_into_the_folder_that_it_names(
    ray_cluster: RunningCluster, tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    """No working directory is uploaded: the program is in the environment of every node."""
    config, home = write_config(tmp_path, tiny_models), tmp_path / "home"
    variables = {"PB_RLSVR_HOME": str(home), "PYTHONPATH": str(lay_out(tmp_path / "site"))}
    submit = [str(Path(sys.executable).parent / "ray"), "job", "submit", "--address", ray_cluster.jobs]
    command = ["python", "-m", "pb_rlsvr", "evaluate", str(config), "run.name=job", "run.folder=out"]
    done = run_marked(
        [*submit, "--runtime-env-json", json.dumps({"env_vars": variables}), "--", *command],
        cwd=tmp_path,
        environment=environment | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(ray_cluster.token_file)},
    )
    assert done.code == 0, done.stdout + done.stderr
    folder = RunFolder(home / "out" / "job")
    assert {result.language for result in read_evaluations(folder.evaluation)["before"].languages} == {"en", "de", "fr"}


def test_mgsm_is_evaluated_on_the_cluster_of_the_address(
    ray_cluster: RunningCluster, tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    if not MGSM.is_dir():
        pytest.skip(f"MGSM's files are not at {MGSM}")
    done = run_project(
        "evaluate",
        str(write_config(tmp_path, tiny_models)),
        "run.name=mgsm",
        "evaluation.source=mgsm",
        f"evaluation.path={MGSM}",
        "evaluation.languages=en,de,th",
        "policy.max_model_len=1024",
        "learner.row_tokens=1024",
        "--json",
        cwd=tmp_path,
        environment=environment | ray_cluster.for_runs,
    )
    assert done.code == 0, done.stderr
    assert f"connecting to Ray at {ray_cluster.address}: done" in done.stderr
    languages = json.loads(done.stdout.splitlines()[-1])["languages"]
    assert {code: language["num_items"] for code, language in languages.items()} == {"en": 2, "de": 2, "th": 2}
    assert done.left_behind == ()
