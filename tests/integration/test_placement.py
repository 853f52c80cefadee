"""Test runs on clusters whose GPUs exist in Ray's books only: device, places of actors, and what nodes are asked.

The actors are small ones of the test. They tell the GPUs and the settings that Ray gave to their process.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import ray

from actors.remote.process import RemoteClass
from cluster.builds import Builds, installed_builds
from cluster.capacity import Node
from cluster.device import place
from cluster.launch import connected, start_actor
from cluster.layout import ROLES, Layout, Role
from cluster.preflight.nodes import check_placed
from cluster.reserve import Bundles, placed
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.config.workers import ClusterConfig
from contracts.errors import BadInput, RunFailed
from contracts.paths import ROOT
from tests.builders import a_config, a_console
from tests.commands import run_project
from tests.integration.conftest import TinyModels, write_config
from tests.refusals import raised, refused
from tests.runs.ray_nodes import cluster_of, owner_of_clusters

FOR_CPUS = Builds(torch_cuda=None, vllm_cuda=False)
FOR_GPUS = Builds(torch_cuda="13.0", vllm_cuda=True)
PLANTED = "hf_planted_token_of_a_test"


def teller() -> RemoteClass:
    """Return an actor class that tells what its process has. Made here, so that Ray sends the class itself."""

    @ray.remote
    class Teller:
        def has(self) -> dict[str, str | None]:
            names = ("CUDA_VISIBLE_DEVICES", "HF_TOKEN", "NCCL_DEBUG", "MY_SECRET", "PB_RLSVR_ROLE")
            return {name: os.environ.get(name) for name in names}

    return Teller


def ask(layout: Layout, bundles: Bundles, *names: str) -> dict[str, Mapping[str, str | None]]:
    """Start small actors in the bundles of these names, and return what they tell."""
    kind = teller()
    wanted = [placement for placement in layout.placements if placement.name in names]
    actors = [start_actor(kind, placement, bundles, ()) for placement in wanted]
    told = ray.get([actor.has.remote() for actor in actors], timeout=180)
    return dict(zip((placement.name for placement in wanted), told, strict=True))


def per_node(bundles: Bundles, role: Role) -> list[int]:
    """Return on how many nodes a role's bundles are, as the number on each, largest first."""
    where = bundles.nodes()
    counts = Counter(where[placement.name] for placement in bundles.layout.of(role))
    assert None not in counts
    return sorted(counts.values(), reverse=True)


# --- four nodes of eight GPUs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(ray_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, ...]]:
    """Connect to a cluster that a token protects, as a person whose shell has settings of the hub and of NCCL."""
    with (
        owner_of_clusters(ray_folder, tmp_path_factory.mktemp("large") / "token") as patch,
        cluster_of([(32, 8)] * 4) as address,
    ):
        patch.delenv("RAY_AUTH_MODE")
        for name, value in {"HF_TOKEN": PLANTED, "NCCL_DEBUG": "INFO", "MY_SECRET": "mine"}.items():
            patch.setenv(name, value)
        patch.setenv("RAY_ADDRESS", address)
        with connected(ClusterConfig(), a_console()) as nodes:
            yield nodes


def for_32_gpus(**sections: Mapping[str, object]) -> Config:
    """Build a config of 16 ranks, four engines of two GPUs, a pivot of four, a quarter of a GPU for scorers: 28.25."""
    return a_config(
        {
            "policy": {"num_workers": 4, "tensor_parallel_size": 2},
            "pivot": {"tensor_parallel_size": 4},
            "scorer": {"num_gpus": 0.25},
            "learner": {"num_ranks": 16},
            "algorithm": {"groups_per_step": 64},
        },
        sections,
    )


def laid_out(config: Config, nodes: tuple[Node, ...]) -> Layout:
    return place(config, nodes, FOR_GPUS, roles=ROLES, console=a_console())


def test_ranks_take_two_whole_nodes_and_an_engines_gpus_are_on_one(large: tuple[Node, ...]) -> None:
    assert sorted(node.total.gpus for node in large) == [8, 8, 8, 8]
    layout = laid_out(for_32_gpus(), large)
    with placed(layout, ClusterConfig(), lambda text: None) as bundles:
        assert per_node(bundles, "learner") == [8, 8]
        assert len(per_node(bundles, "policy")) <= 2
        told = ask(layout, bundles, "policy-1", "learner-3", "scorer-0")
    assert len((told["policy-1"]["CUDA_VISIBLE_DEVICES"] or "").split(",")) == 2
    assert len((told["learner-3"]["CUDA_VISIBLE_DEVICES"] or "").split(",")) == 1
    assert [told[name]["PB_RLSVR_ROLE"] for name in ("policy-1", "learner-3", "scorer-0")] == [
        "policy",
        "learner",
        "scorer",
    ]


def test_a_scorer_without_a_gpu_sees_none_and_settings_reach_every_actor_but_no_log(
    large: tuple[Node, ...], ray_folder: Path
) -> None:
    layout = laid_out(for_32_gpus(scorer={"num_gpus": 0}), large)
    with placed(layout, ClusterConfig(), lambda text: None) as bundles:
        told = ask(layout, bundles, "scorer-0", "pivot-0")
    assert told["scorer-0"]["CUDA_VISIBLE_DEVICES"] == ""
    assert len((told["pivot-0"]["CUDA_VISIBLE_DEVICES"] or "").split(",")) == 4
    for has in told.values():
        assert (has["HF_TOKEN"], has["NCCL_DEBUG"], has["MY_SECRET"]) == (PLANTED, "INFO", None)
    assert holding(PLANTED, ray_folder) == []


def holding(secret: str, folder: Path) -> list[Path]:
    """Return the files below a folder that hold a text."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    return [file for file in files if secret.encode() in file.read_bytes()]


def test_a_bundle_that_no_node_holds_is_refused_before_anything_waits(large: tuple[Node, ...]) -> None:
    with refused("policy.tensor_parallel_size", "policy-0", "16 GPUs", "8 GPUs"):
        laid_out(for_32_gpus(policy={"tensor_parallel_size": 16, "num_workers": 1}), large)


def test_a_run_that_must_wait_says_so_rarely_and_holds_nothing_meanwhile(large: tuple[Node, ...]) -> None:
    layout, said = laid_out(for_32_gpus(), large), []
    with placed(layout, ClusterConfig(), said.append):
        assert said == []
        free = ray.available_resources().get("GPU", 0)
        with (
            raised(RunFailed, "28.25 GPUs", key="cluster"),
            placed(layout, ClusterConfig(placement_timeout_s=4), said.append),
        ):
            pytest.fail("the bundles were reserved twice")
        assert len(said) == 1
        assert ray.available_resources().get("GPU", 0) == free


def test_gpus_that_torch_cant_use_are_refused_with_a_line_for_each_node(large: tuple[Node, ...]) -> None:
    config = for_32_gpus(policy={"model": str(ROOT)}, pivot={"model": str(ROOT)}, scorer={"model": str(ROOT)})
    layout = laid_out(config, large)
    with (
        placed(layout, ClusterConfig(), lambda text: None) as bundles,
        pytest.raises(BadInput) as caught,
    ):
        check_placed(config, bundles, a_console())
    assert caught.value.key == "cluster"
    lines = str(caught.value).splitlines()
    name = large[0].name
    assert all(line.startswith(f"{name}: ") for line in lines)
    num_nodes = len(set(bundles.nodes().values()))
    assert sum("torch can't use the GPUs" in line for line in lines) == num_nodes
    assert sum("policy.model" in line for line in lines) >= 1  # a folder without weights


# --- one node ---------------------------------------------------------------------------------------------------------


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
            told = ask(layout, bundles, "policy-0", "learner-0")
    assert [has["CUDA_VISIBLE_DEVICES"] for has in told.values()] == ["", ""]


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
    assert "the cluster's 1 GPU stay" in done.stdout + done.stderr
    assert "make clean install-gpu" in done.stdout + done.stderr
    assert PLANTED not in done.stdout + done.stderr
    assert holding(PLANTED, tmp_path / "runs") == []
    assert holding(PLANTED, ray_folder) == []


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
        layout = laid_out(config, nodes)
        assert layout.total.gpus == 8
        with placed(layout, ClusterConfig(), lambda text: None) as bundles:
            told = ask(layout, bundles, *(f"scorer-{index}" for index in range(4)), "learner-0")
    shared = {told[f"scorer-{index}"]["CUDA_VISIBLE_DEVICES"] for index in range(4)}
    assert len(shared) == 1
    assert told["learner-0"]["CUDA_VISIBLE_DEVICES"] not in shared
