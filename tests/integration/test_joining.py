"""Test runs that join a cluster, with GPUs that only Ray counts: the device, and who shows a token to whom."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from cluster.builds import Builds, installed_builds
from cluster.device import place
from cluster.launch import connected
from cluster.layout import ROLES
from cluster.reserve import placed
from contracts.config.load import load_config
from contracts.config.workers import ClusterConfig
from contracts.errors import BadInput
from contracts.paths import ROOT
from tests.builders import a_config, a_console
from tests.commands import run_project
from tests.integration.conftest import TinyModels, write_config
from tests.refusals import refused
from tests.runs.ray_nodes import cluster_of, owner_of_clusters
from tests.runs.told_actors import files_with, told

FOR_CPUS = Builds(torch_cuda=None, vllm_cuda=False)
FOR_GPUS = Builds(torch_cuda="13.0", vllm_cuda=True)
PLANTED = "hf_planted_token_of_a_test"


# --- without tokens ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(ray_folder: Path) -> Iterator[str]:
    """Run a cluster without tokens, of one node with one GPU."""
    with owner_of_clusters(ray_folder, None), cluster_of([(4, 1)]) as address:
        yield address


@pytest.fixture
def person(small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Be a person who has a token of an earlier cluster, and the address of this one."""
    (tmp_path / "token").write_text("0" * 64, encoding="utf-8")
    monkeypatch.setenv("RAY_ADDRESS", small)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("RAY_AUTH_MODE", "")
    monkeypatch.delenv("RAY_AUTH_MODE")
    return monkeypatch


@pytest.mark.usefixtures("person")
def test_the_quickstart_on_one_gpu_that_the_packages_cant_use_runs_on_cpus() -> None:
    """The cluster asks for no token, so the one that lies here is not shown: else no actor would start."""
    config = load_config(ROOT / "configs" / "quickstart.toml")
    with connected(config.cluster, a_console()) as nodes:
        layout = place(config, nodes, installed_builds(), roles=ROLES, console=a_console())
        assert {placement.device for placement in layout.placements} == {"cpu"}
        with placed(layout, config.cluster, lambda text: None) as bundles:
            has = told(layout, bundles, "policy-0", "learner-0")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in has.values()] == ["", ""]


def test_a_mode_that_does_not_go_with_the_cluster_is_left_with_a_line(person: pytest.MonkeyPatch) -> None:
    person.setenv("RAY_AUTH_MODE", "token")
    with connected(ClusterConfig(), a_console()) as nodes:
        assert [node.total.gpus for node in nodes] == [1]
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_command_says_that_the_gpu_stays_idle_and_writes_no_token(
    small: str, tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path, ray_folder: Path
) -> None:
    words = ("evaluate", str(write_config(tmp_path, tiny_models)), "run.name=idle", "evaluation.languages=de")
    done = run_project(
        *words,
        cwd=tmp_path,
        environment=environment | {"RAY_ADDRESS": small, "HF_TOKEN": PLANTED, "HF_HUB_OFFLINE": "1"},
    )
    assert done.code == 0, done.stderr
    assert "the cluster's GPU stays idle" in done.stdout + done.stderr
    assert "make clean install-gpu" in done.stdout + done.stderr
    assert PLANTED not in done.stdout + done.stderr
    assert files_with(PLANTED, tmp_path / "runs") == []
    assert files_with(PLANTED, ray_folder) == []


def test_a_checked_plan_tells_what_the_cluster_has_and_what_a_node_lacks(
    small: str, tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    config, here = str(write_config(tmp_path, tiny_models)), environment | {"RAY_ADDRESS": small}
    plan = run_project("plan", config, "--check", cwd=tmp_path, environment=here)
    assert plan.code == 0, plan.stderr
    assert "the cluster has 4 CPUs and 1 GPUs" in plan.stdout
    (tmp_path / "empty").mkdir()
    lacking = run_project(
        "plan", config, "--check", f"policy.model={tmp_path / 'empty'}", cwd=tmp_path, environment=here
    )
    assert lacking.code == 2
    (line,) = [line for line in lacking.errors if line.startswith("error: ")]
    assert "policy.model" in line and str(tmp_path / "empty") in line


# --- a cluster with a token -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed(ray_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Run a cluster that a token protects, of one node with eight GPUs; yield its address and the token's file."""
    token = tmp_path_factory.mktemp("closed") / "token"
    with owner_of_clusters(ray_folder, token), cluster_of([(16, 8)]) as address:
        yield address, token


@pytest.fixture
def stranger(closed: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Be a person who has the address, and no token."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", closed[0])
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def refusal() -> BadInput:
    with pytest.raises(BadInput) as caught, connected(ClusterConfig(), a_console()):
        pytest.fail("the cluster was joined")
    assert not ray.is_initialized()
    assert "\n" not in str(caught.value)
    return caught.value


def test_who_has_no_token_or_another_one_is_told_what_to_do(
    stranger: pytest.MonkeyPatch, closed: tuple[str, Path]
) -> None:
    none = refusal()
    assert (none.key, "~/.ray/auth_token" in str(none)) == ("RAY_AUTH_MODE", True)
    stranger.setenv("RAY_AUTH_TOKEN", "0" * 64)
    other = refusal()
    assert (other.key, "~/.ray/auth_token" in str(other)) == ("RAY_AUTH_MODE", True)
    stranger.setenv("RAY_AUTH_MODE", "disabled")
    switched_off = refusal()
    assert (switched_off.key, "unset RAY_AUTH_MODE" in str(switched_off)) == ("RAY_AUTH_MODE", True)


def test_the_token_is_shown_to_a_cluster_that_asks_and_eight_gpus_hold_a_layout(
    stranger: pytest.MonkeyPatch, closed: tuple[str, Path]
) -> None:
    stranger.setenv("RAY_AUTH_TOKEN_PATH", str(closed[1]))
    config = a_config(policy={"num_workers": 2}, learner={"num_ranks": 4}, scorer={"num_gpus": 0.25, "num_workers": 4})
    with connected(ClusterConfig(), a_console()) as nodes:
        with refused("cluster.device", "make clean install-gpu"):
            place(
                config.model_copy(update={"cluster": ClusterConfig(device="cuda")}),
                nodes,
                FOR_CPUS,
                roles=ROLES,
                console=a_console(),
            )
        layout = place(config, nodes, FOR_GPUS, roles=ROLES, console=a_console())
        assert layout.total.gpus == 8
        with placed(layout, ClusterConfig(), lambda text: None) as bundles:
            has = told(layout, bundles, *(f"scorer-{index}" for index in range(4)), "learner-0")
    shared = {has[f"scorer-{index}"]["CUDA_VISIBLE_DEVICES"] for index in range(4)}
    assert len(shared) == 1
    assert has["learner-0"]["CUDA_VISIBLE_DEVICES"] not in shared
