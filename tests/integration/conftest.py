"""Make what the tests of the whole system share: tiny models, a training run of three steps, and a Ray cluster.

All are made once a session, because an engine takes half a minute to start. The tiny models are random, so all rewards
would be equal and nothing would be learned. Therefore the pivot's references are written into the cache beforehand, as
an earlier run would have left them, and the gates are off.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from cluster.environment import LOOPBACK
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.rollouts import Problem
from driver.config_paths import with_absolute_paths
from driver.inputs import TrainingInputs, prepare_training
from driver.problems.stream import first_draws
from driver.references.store import PivotSampling, ReferenceCache
from quickstart.tiny import build_tiny_encoder, build_tiny_model
from tests.builders import a_reference
from tests.commands import GATES_OFF, MARK, Finished, run_project, stop, survivors

STEPS = 3
GROUPS_PER_STEP = 4
GROUP_SIZE = 4
UNANSWERED = 1  # the draw whose reference declares no answer: its samples cannot be scored
UNKNOWN = 6  # the draw whose reference is in no cache: the pivot is asked, and writes on to its limit

CONFIG = """
[run]
folder = "{runs}"
seed = 7
[data]
languages = ["de", "fr"]
levels = [1, 2]
num_items = 60
[policy]
model = "{model}"
max_model_len = 512
max_response_tokens = 24
max_num_seqs = 32
kv_cache_gib = 0.1
num_cpus = 0.3
[pivot]
model = "{model}"
max_model_len = 512
max_response_tokens = 12
max_num_seqs = 32
kv_cache_gib = 0.1
num_cpus = 0.2
cache = "{cache}"
[scorer]
model = "{encoder}"
text_prefix = ""
num_cpus = 0.2
[reward]
min_group_spread = 1e-9
consistency_floor = 0.0
[reward.weights]
answer = 0.6
reasoning = 0.4
numbers = 0.0
{gates_off}
[reward.reasoning]
calibration = "off"
low = -1.0
high = 1.0
[algorithm]
steps = {steps}
groups_per_step = {groups_per_step}
group_size = {group_size}
[learner]
num_ranks = 2
num_cpus = 0.2
learning_rate = 1e-3
row_tokens = 512
[evaluation]
num_items = 2
max_response_tokens = 8
levels = [1]
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the integration tests where vLLM is built for GPUs: they run its engines on the CPU."""
    if torch.version.cuda is None:
        return
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="runs engines on the CPU; `make test-gpu` runs them on GPUs"))


@dataclass(frozen=True, kw_only=True)
class TinyModels:
    """Hold the folders of the models."""

    policy: Path
    encoder: Path


@dataclass(frozen=True, kw_only=True)
class TinyRun:
    """Hold a finished training run of the command line."""

    config: Config
    draws: tuple[Problem, ...]  # the problems of the run, in order
    folder: Path
    command: Finished

    def dropped(self) -> dict[str, str]:
        """Return why the samples of a group have no score, by the ids of the groups that must not be learned from."""
        reasons = {
            self.draws[UNANSWERED].item_id: "the reference declares no final answer",
            self.draws[UNKNOWN].item_id: "reference_truncated",
        }
        return {
            group_id: reasons[problem.item_id]
            for group_id, problem in zip(self.group_ids(), self.draws, strict=True)
            if problem.item_id in reasons
        }

    def group_ids(self) -> list[str]:
        return [f"{index}/{problem.group_key}" for index, problem in enumerate(self.draws)]


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    folder = tmp_path_factory.mktemp("models")
    return TinyModels(policy=build_tiny_model(folder / "tiny"), encoder=build_tiny_encoder(folder / "tiny-encoder"))


@pytest.fixture(scope="session")
def ray_folder() -> Iterator[Path]:
    """Make a folder for Ray. Its path is short, because the paths of Ray's sockets have a limit of 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pb", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def environment(ray_folder: Path) -> dict[str, str]:
    """Return this process' environment, without the address and token of a running cluster."""
    others = ("PYTHONPATH", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "PB_RLSVR_HOME")
    inherited = {name: value for name, value in os.environ.items() if name not in (*others, *LOOPBACK)}
    return inherited | {"RAY_TMPDIR": str(ray_folder), "COLUMNS": "200"}


@pytest.fixture(scope="session")
def first_run(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> TinyRun:
    """Train three steps on two ranks, with evaluations before and after, started from an unrelated folder."""
    return train_tiny("first", tiny_models, environment, folder=tmp_path_factory.mktemp("first"))


@dataclass(frozen=True, kw_only=True)
class RunningCluster:
    """Describe a Ray cluster as an administrator starts one: protected by a token, its dashboard on loopback."""

    address: str  # of the cluster itself, host:port
    jobs: str  # of the job server, http://host:port
    token_file: Path

    @property
    def for_runs(self) -> dict[str, str]:
        """Return the environment of a person who uses the cluster, without the mode of authentication."""
        return {"RAY_ADDRESS": self.address, "RAY_AUTH_TOKEN_PATH": str(self.token_file)}


@pytest.fixture(scope="session")
def ray_cluster(
    environment: dict[str, str], ray_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningCluster]:
    """Run `ray start --head` in a process of its own. Its processes are stopped by process id."""
    folder = tmp_path_factory.mktemp("cluster")
    token_file = folder / "token"
    token_file.write_text(secrets.token_hex(32), encoding="utf-8")
    ports = free_ports(6)
    cluster = RunningCluster(
        address=f"127.0.0.1:{ports[0]}", jobs=f"http://127.0.0.1:{ports[1]}", token_file=token_file
    )
    options = {
        "--node-ip-address": "127.0.0.1",
        "--port": ports[0],
        "--dashboard-port": ports[1],
        "--dashboard-agent-listen-port": ports[2],
        "--dashboard-agent-grpc-port": ports[3],
        "--metrics-export-port": ports[4],
        "--ray-client-server-port": ports[5],
        "--temp-dir": ray_folder / "c",
        "--num-cpus": 4,
        "--object-store-memory": 200_000_000,
    }
    binaries = Path(sys.executable).parent
    mark = uuid.uuid4().hex
    with (folder / "ray-start.log").open("wb") as log:
        head = subprocess.Popen(
            [binaries / "ray", "start", "--head", "--block", "--disable-usage-stats"]
            + [str(word) for option in options.items() for word in option],
            env=environment
            | {"PATH": f"{binaries}:{environment['PATH']}", MARK: mark}
            | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_ports(head, ports[:2], log=folder / "ray-start.log")
        yield cluster
    finally:
        head.terminate()
        head.wait(timeout=60)
        if survivors(mark):
            stop(mark)


def free_ports(count: int) -> list[int]:
    """Return different ports that were free a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def wait_for_ports(process: "subprocess.Popen[bytes]", ports: list[int], *, log: Path) -> None:
    """Wait until all ports accept connections."""
    deadline = time.monotonic() + 180
    for port in ports:
        while True:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, f"no process listens at port {port}\n{log.read_text(encoding='utf-8')}"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)


def write_config(folder: Path, models: TinyModels) -> Path:
    """Write the tiny run's config. All that the run writes is inside `folder`."""
    path = folder / "tiny.toml"
    text = CONFIG.format(
        runs=folder / "runs",
        cache=folder / "references",
        model=models.policy,
        encoder=models.encoder,
        steps=STEPS,
        groups_per_step=GROUPS_PER_STEP,
        group_size=GROUP_SIZE,
        gates_off=GATES_OFF,
    )
    path.write_text(text, encoding="utf-8")
    return path


def train_tiny(name: str, models: TinyModels, environment: dict[str, str], *, folder: Path) -> TinyRun:
    """Train through the command line, on a reference cache of its own."""
    prepared = prepare_tiny(models, folder=folder)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    words = ("train", str(prepared.path), f"run.name={name}", "--json")
    command = run_project(*words, cwd=elsewhere, environment=environment)
    assert command.code == 0, command.stderr
    return TinyRun(config=prepared.config, draws=prepared.draws, folder=folder / "runs" / name, command=command)


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """Hold a run that can be started: its config and its problems. Its reference cache is written."""

    path: Path
    config: Config
    draws: tuple[Problem, ...]


def prepare_tiny(models: TinyModels, *, folder: Path) -> PreparedRun:
    """Write a run's config and its reference cache."""
    path = write_config(folder, models)
    config = with_device_defaults(with_absolute_paths(load_config(path)), "cpu")
    inputs = prepare_training(config)
    draws = tuple(draw.problem for draw in first_draws(inputs.stream, STEPS * GROUPS_PER_STEP))
    write_references(config, inputs, draws)
    return PreparedRun(path=path, config=config, draws=draws)


def write_references(config: Config, inputs: TrainingInputs, draws: tuple[Problem, ...]) -> None:
    """Write the cache as an earlier run of the same pivot would have left it, for all items but the unknown one."""
    sampling = PivotSampling.of(config)
    cache = ReferenceCache(Path(config.pivot.cache))
    unanswered, unknown = draws[UNANSWERED].item_id, draws[UNKNOWN].item_id
    assert unanswered != unknown
    for problem in {problem.item_id: problem for problem in draws}.values():
        if problem.item_id == unknown:
            continue
        closing = "I do not know." if problem.item_id == unanswered else f"The answer is {problem.answer}."
        cache.add(
            a_reference(
                f"We add and subtract the numbers of the question, one after the other.\n{closing}",
                item_id=problem.item_id,
                key=sampling.key(inputs.pivot_prompter.reference_prompt(problem.question_en)),
            )
        )
    cache.save()
