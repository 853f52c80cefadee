"""Finding Ray: which addresses are taken, what is said about the others, and what protects a cluster."""

import io
import os
import socket
from pathlib import Path

import pytest
import ray
from rich.console import Console

from actors.process import ProcessInfo
from cluster.launch import check_address, collect_logs, connected, first_line, use_existing_token
from driver.config import ClusterConfig
from driver.errors import BadInput
from driver.progress import Progress


@pytest.fixture
def dead_address() -> str:
    """A port of this machine that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any of Ray's authentication; its folder. What the code sets is taken back afterwards."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_an_address_where_somebody_listens_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
    check_address("auto")


def test_a_dead_address_is_refused_by_name(dead_address: str) -> None:
    with pytest.raises(
        BadInput, match=rf"RAY_ADDRESS={dead_address}: nobody answers there .*; start Ray there, or unset"
    ):
        check_address(dead_address)


def test_a_dead_address_ends_a_run_before_ray_is_started(dead_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", dead_address)
    with (
        pytest.raises(BadInput, match="nobody answers there"),
        connected(ClusterConfig(), Progress(Console(file=io.StringIO()))),
    ):
        pytest.fail("a run went on without a cluster")
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://127.0.0.1:10001"])
def test_an_address_of_another_kind_is_told_what_it_is_for(address: str) -> None:
    with pytest.raises(BadInput, match=r"host:port \(or auto\); http:// is for `ray job submit --address`"):
        check_address(address)


@pytest.mark.parametrize("address", ["somewhere", "somewhere:", ":6379", "host:port"])
def test_what_is_no_address_is_told_how_one_looks(address: str) -> None:
    with pytest.raises(BadInput, match=r"expected host:port or auto"):
        check_address(address)


def test_a_token_is_presented_where_one_lies_and_not_otherwise(no_token: Path) -> None:
    use_existing_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (no_token / ".ray").mkdir()
    (no_token / ".ray" / "auth_token").write_text("secret", encoding="utf-8")
    use_existing_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
@pytest.mark.usefixtures("no_token")
def test_a_token_of_the_environment_counts_and_a_chosen_mode_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "something")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    use_existing_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    monkeypatch.delenv("RAY_AUTH_MODE")
    use_existing_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"


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
