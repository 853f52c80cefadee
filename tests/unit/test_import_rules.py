"""Who may import what, held over the syntax tree of every module; docs/architecture.md says why."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("actors", "cluster", "driver", "quickstart", "rewards")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Heavy import -> the modules that may have it; a folder stands for all in it.
OWNERS = {
    "ray": (
        "actors/learner.py",
        "actors/pivot.py",
        "actors/policy.py",
        "actors/remote/calls.py",
        "actors/scorer.py",
        "cluster/launch.py",
        "cluster/elastic/ray_room.py",
    ),
    "vllm": (
        "actors/generation/engine.py",
        "actors/generation/vocabulary_mask.py",
        "actors/weight_sync/vllm_transfer.py",
    ),
    "deepspeed": (
        "actors/learning/process_group.py",
        "actors/learning/rank.py",
        "actors/learning/shards.py",
        "actors/learning/weight_source.py",
        "actors/learning/zero_engine.py",
    ),
    "peft": ("actors/learning/lora.py",),
    "torch": ("actors/", "quickstart/", "rewards/models/encoder.py", "rewards/comet/", "rewards/models/translator.py"),
}
LEAVES = (
    "contracts.rollouts",
    "contracts.batches",
    "contracts.ports",
    "contracts.config.section",
    "contracts.config.learning",
    "contracts.config.reward",
    "contracts.config.fleet",
    "contracts.config.run",
    "contracts.errors",
)


def imports(source: str, *, module: str) -> Iterator[str]:
    """Every module that `source` imports, wherever in it, as an absolute dotted name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def faults(path: str, source: str) -> list[str]:
    """What the module at `path` (from the root) imports and may not."""
    module = path.removesuffix(".py").replace("/", ".")
    found = list(imports(source, module=module))
    return [f"{path} imports {name}: {why}" for name in found if (why := _why_not(path, module, name))]


def _why_not(path: str, module: str, name: str) -> str | None:
    top = name.split(".")[0]
    if top in OWNERS and not any(
        path == owner or (owner.endswith("/") and path.startswith(owner)) for owner in OWNERS[top]
    ):
        return f"only {', '.join(OWNERS[top])} may"
    if top == "quickstart" and not path.startswith("quickstart/"):
        return "its models are ordinary folders, nothing imports the package"
    if path.startswith("quickstart/") and top in PACKAGES and top != "quickstart":
        return "it stands alone"
    if path.startswith("rewards/") and top in PACKAGES and not _within(name, "rewards", "contracts.rollouts"):
        return "rewards know nothing of the project but the schema"
    if module in LEAVES and top in PACKAGES and not _within(name, "languages.facts", *LEAVES):
        return "the leaf modules know only each other and the languages"
    if path.startswith("actors/") and top in PACKAGES and not _within(name, "actors", "rewards", "driver"):
        return "actors don't know where they are placed"
    return None


def _within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_no_module_imports_what_it_may_not() -> None:
    assert MODULES, "no module found: the test looks in the wrong place"
    found = [
        fault
        for path in MODULES
        for fault in faults(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("driver/rollouts/pipeline.py", "import ray"),
        ("driver/rollouts/pipeline.py", "def later():\n    from ray.util import metrics"),
        ("actors/learning/loss.py", "import ray.util"),
        ("actors/scorer.py", "import vllm as engine"),
        ("cluster/layout.py", "import torch"),
        ("driver/tracking/metrics.py", "import deepspeed.comm"),
        ("rewards/compose.py", "from driver import config"),
        ("rewards/sub/compose.py", "from ...actors import engine"),
        ("contracts/rollouts.py", "from driver.rollouts.pipeline import run"),
        ("actors/policy.py", "from cluster import layout"),
        ("driver/run.py", "from quickstart import tiny"),
    ],
)
def test_a_stray_import_is_caught(path: str, source: str) -> None:
    assert len(faults(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("actors/policy.py", "import ray\nfrom contracts.config.run import PolicyConfig"),
        ("cluster/launch.py", "import ray"),
        ("actors/learning/loss.py", "import torch\nfrom torch import nn"),
        (
            "rewards/compose.py",
            "from contracts.rollouts import Score\nfrom driver import schema\nfrom . import numbers",
        ),
        ("driver/rollouts/pipeline.py", "import rayleigh\nimport asyncio"),
    ],
)
def test_an_import_in_its_place_is_not_a_fault(path: str, source: str) -> None:
    assert faults(path, source) == []


def test_config_and_schema_load_neither_torch_nor_an_engine() -> None:
    program = (
        "import sys, contracts.config.run, contracts.rollouts, contracts.batches, contracts.ports, contracts.errors\n"
        "print(sorted({'torch', 'ray', 'vllm', 'deepspeed', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_of_the_driver_is_named_like_the_standard_library() -> None:
    """`python driver/run.py` starts with driver/ on the path: driver/queue.py would be everybody's `queue`."""
    names = {path.stem for path in (ROOT / "driver").iterdir()}
    assert "config" in names
    assert names & sys.stdlib_module_names == set()
