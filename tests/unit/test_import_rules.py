"""Check the import rules of docs/architecture.md on the syntax tree of every module."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOORS = ("languages", "contracts", "rewards", "actors", "cluster", "driver")
"""The packages of the product. A module imports from its own package and from packages to its left."""

APART = ("benchmarks", "experiments", "quickstart", "tests")
"""Packages that no module of the product imports."""

DOORS = {
    "ray": (
        "actors/learner.py",
        "actors/engine.py",
        "actors/remote/calls.py",
        "actors/scorer.py",
        "cluster/clouds/wait_for_nodes.py",
        "cluster/elastic/ray_capacity.py",
        "cluster/gauges.py",
        "cluster/joining.py",
        "cluster/launch.py",
        "cluster/preflight/nodes.py",
        "cluster/reserve.py",
    ),
    "vllm": (
        "actors/generation/engine.py",
        "actors/generation/one_adapter.py",
        "actors/generation/vllm_build.py",
        "actors/generation/vocabulary_mask.py",
        "actors/weight_sync/nccl_sender.py",
        "actors/weight_sync/ipc_sender.py",
        "actors/weight_sync/packed_weights.py",
        "actors/weight_sync/vllm_engines.py",
    ),
    "deepspeed": (
        "actors/learning/process_group.py",
        "actors/learning/rank.py",
        "actors/learning/partitions.py",
        "actors/learning/sequence_parallel.py",
        "actors/learning/shards.py",
        "actors/learning/weight_source.py",
        "actors/learning/zero_engine.py",
    ),
    "peft": ("actors/learning/lora.py",),
    "torch": ("actors/", "cluster/preflight/torch_cuda.py", "rewards/comet/", "rewards/models/"),
}
"""Heavy library -> the modules, or folders, that may import it."""

MODULES = {path.relative_to(ROOT).as_posix(): path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}


@cache
def imports(source: str) -> tuple[str, ...]:
    """Return every module that `source` imports, anywhere in it and for any purpose, as a dotted name."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write the whole name"
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(found)


def forbidden(path: str, source: str) -> list[str]:
    """Return the imports of the module at `path` that break the order of the packages or use a door of others."""
    return [name for name in imports(source) if not _may_import(path, name.split(".")[0])]


def _may_import(path: str, package: str) -> bool:
    floor = path.split("/")[0]
    if package in FLOORS:
        return FLOORS.index(package) <= FLOORS.index(floor)
    if package in DOORS:
        return any(path == door or (door.endswith("/") and path.startswith(door)) for door in DOORS[package])
    return package not in APART


def _module_file(name: str) -> str | None:
    """Return the file that a dotted name comes from; None where it is not the product's."""
    parts = name.split(".")
    candidates = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(
        (file for stem in candidates for file in (f"{stem}.py", f"{stem}/__init__.py") if file in MODULES), None
    )


def _room(path: str) -> str:
    """Return the folder of a module, or the module itself where it lies directly in its package."""
    return path if path.count("/") == 1 else path.rsplit("/", 1)[0]


def _graph(*, rooms: bool) -> Mapping[str, set[str]]:
    """Return who imports whom, between modules or between rooms."""
    graph: dict[str, set[str]] = {}
    for path, file in MODULES.items():
        found = {other for name in imports(file.read_text(encoding="utf-8")) if (other := _module_file(name))}
        here = _room(path) if rooms else path
        graph.setdefault(here, set()).update({_room(other) if rooms else other for other in found} - {here})
    return graph


def _cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return one cycle of the graph, empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("path", sorted(MODULES))
def test_imports_go_down_and_heavy_libraries_stay_behind_their_doors(path: str) -> None:
    assert forbidden(path, MODULES[path].read_text(encoding="utf-8")) == []


def test_no_modules_import_each_other() -> None:
    assert _cycle(_graph(rooms=False)) == []


def test_no_rooms_import_each_other() -> None:
    assert _cycle(_graph(rooms=True)) == []


def test_a_cycle_is_found() -> None:
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("driver/rollouts/pipeline.py", "import ray"),
        ("driver/rollouts/pipeline.py", "def later():\n    from ray.util import metrics"),
        ("actors/learning/policy_loss.py", "import ray.util"),
        ("actors/scorer.py", "import vllm as engine"),
        ("cluster/layout.py", "import torch"),
        ("contracts/batches.py", "import torch"),
        ("rewards/compose.py", "from driver import inputs"),
        ("languages/facts.py", "from contracts.errors import BadInput"),
        ("actors/engine.py", "if TYPE_CHECKING:\n    from cluster import layout"),
        ("driver/run.py", "from quickstart import tiny"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    assert len(forbidden(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("actors/engine.py", "import ray\nfrom contracts.config.run import PolicyConfig"),
        ("actors/learning/policy_loss.py", "import torch\nfrom torch import nn"),
        ("rewards/compose.py", "from contracts.rollouts import Score\nfrom languages import facts\nimport numpy"),
        ("driver/rollouts/pipeline.py", "import rayleigh\nimport asyncio"),
    ],
)
def test_an_allowed_import_is_not_reported(path: str, source: str) -> None:
    assert forbidden(path, source) == []


@pytest.mark.parametrize("floor", ["languages", "contracts"])
def test_the_lowest_packages_load_no_heavy_library(floor: str) -> None:
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in MODULES]
    program = (
        f"import sys, {', '.join(name for name in names if name.split('.')[0] == floor)}\n"
        "print(sorted({'torch', 'ray', 'vllm', 'deepspeed', 'transformers', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_of_the_driver_is_named_like_the_standard_library() -> None:
    """`python driver/run.py` starts with driver/ on the path, where driver/queue.py would replace `queue`."""
    names = {path.stem for path in (ROOT / "driver").iterdir()}
    assert "recipes" in names
    assert names & sys.stdlib_module_names == set()
