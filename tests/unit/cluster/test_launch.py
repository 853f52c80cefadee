"""Test how Ray is found: accepted addresses, messages about the others, and what protects a cluster."""

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from rich.console import Console as Terminal

from actors.remote.process import ProcessInfo
from cluster.environment import LOOPBACK, QUIET, close_token_file, forwarded, prepare_process
from cluster.joining import find_cluster
from cluster.launch import collect_logs, connected, first_line
from contracts.config.workers import ClusterConfig
from contracts.errors import BadInput
from contracts.paths import ROOT
from driver.tracking.console import Console
from tests.refusals import refused


@pytest.fixture
def dead_address() -> str:
    """Return a port of this machine that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_an_address_that_answers_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert find_cluster(address) == address


def test_a_dead_address_is_refused_by_name(dead_address: str) -> None:
    with refused("RAY_ADDRESS", dead_address):
        find_cluster(dead_address)


def test_a_dead_address_ends_a_run_before_ray_is_started(dead_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", dead_address)
    with (
        refused("RAY_ADDRESS", dead_address),
        connected(ClusterConfig(), Console(Terminal(file=io.StringIO()))),
    ):
        pytest.fail("a run went on without a cluster")
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://127.0.0.1:10001"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(BadInput) as failure:
        find_cluster(address)
    assert failure.value.key == "RAY_ADDRESS"


@pytest.mark.parametrize("address", ["somewhere", "somewhere:", ":6379", "host:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput) as failure:
        find_cluster(address)
    assert failure.value.key == "RAY_ADDRESS"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a home folder without Ray's tokens, and restore afterwards what `prepare_process` sets."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", *QUIET, *LOOPBACK):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("address", ["", "head:6379"])
def test_nothing_is_decided_about_tokens_before_the_cluster_is_asked(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    prepare_process()
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("address", ["", "local"])
def test_a_run_on_this_machine_alone_listens_on_loopback(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0")  # what the user chose stays
    prepare_process()
    assert {name: os.environ[name] for name in LOOPBACK} == LOOPBACK | {"GLOO_SOCKET_IFNAME": "eth0"}


@pytest.mark.usefixtures("home")
def test_a_run_on_a_cluster_can_be_reached_by_its_other_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    prepare_process()
    assert not set(LOOPBACK) & set(os.environ)


def test_loopback_is_the_address_of_a_ray_that_is_started_here() -> None:
    """Ray keeps what it read when it was imported: choosing loopback later would be too late."""
    program = (
        "from driver.cli import main\n"
        "assert main(['plan', 'policy.model=a/b', 'pivot.model=a/b', 'scorer.model=a/b']) == 0\n"
        "import cluster.launch, ray\n"
        "assert ray.util.get_node_ip_address() == '127.0.0.1'"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", *LOOPBACK)}
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False).returncode == 0


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o660, 0o600), (0o400, 0o400)])
def test_rays_token_is_its_owners_alone(home: Path, before: int, after: int) -> None:
    close_token_file()  # there is none
    (home / ".ray").mkdir()
    token = home / ".ray" / "auth_token"
    token.write_text("secret", encoding="utf-8")
    token.chmod(before)
    close_token_file()
    assert token.stat().st_mode & 0o777 == after


def test_settings_of_the_hub_and_the_network_are_passed_on_and_no_others() -> None:
    """Nothing of the machine, of the shell or of other services travels, and no address of one node."""
    passed = {
        "HF_TOKEN": "hf_secret",
        "HF_HOME": "/shared/hub",
        "HF_HUB_OFFLINE": "1",
        "NCCL_SOCKET_IFNAME": "eth0",
        "TORCH_NCCL_BLOCKING_WAIT": "1",
        "GLOO_SOCKET_IFNAME": "eth0",
        "FI_PROVIDER": "efa",
        "HTTPS_PROXY": "http://proxy:3128",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "VLLM_LOGGING_LEVEL": "DEBUG",
    }
    kept = {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "LD_LIBRARY_PATH": "/opt",
        "CUDA_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "64",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "RAY_AUTH_TOKEN": "secret",
        "WANDB_API_KEY": "secret",
        "VLLM_HOST_IP": "10.0.0.1",
        "MY_HF_TOKEN": "secret",
    }
    assert forwarded(passed | kept) == passed


@pytest.mark.usefixtures("home")
def test_no_library_reports_usage_but_what_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "0")
    prepare_process()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert (
        os.environ["VLLM_NO_USAGE_STATS"] == os.environ["DO_NOT_TRACK"] == os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    )
    assert os.environ["TQDM_DISABLE"] == "0"


def test_actors_output_is_collected_by_name_and_that_of_other_nodes_stays(tmp_path: Path) -> None:
    def process(name: str, node: str) -> ProcessInfo:
        for stream in ("out", "err"):
            (tmp_path / f"worker-{name}.{stream}").write_text(f"{name} {stream}", encoding="utf-8")
        return ProcessInfo(
            pid=1, node=node, stdout=str(tmp_path / f"worker-{name}.out"), stderr=str(tmp_path / f"worker-{name}.err")
        )

    folder = tmp_path / "logs"
    folder.mkdir()
    here = os.uname().nodename
    gone = ProcessInfo(pid=2, node=here, stdout=str(tmp_path / "none.out"), stderr="/dev/null")
    collect_logs({"policy-0": process("a", here), "pivot-0": process("b", "elsewhere"), "scorer-0": gone}, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["policy-0.err", "policy-0.out"]
    assert (folder / "policy-0.err").read_text(encoding="utf-8") == "a err"


def test_a_failure_is_told_by_its_first_line_and_by_its_type_where_it_has_none() -> None:
    assert first_line(RuntimeError("\n  no room \nmore")) == "no room"
    assert first_line(RuntimeError()) == "RuntimeError"
