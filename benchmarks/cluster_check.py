"""Check the launch files with the tools of those who wrote their formats: `make cluster-check`.

Kubernetes' own schemas for its objects and for the pods of KubeRay's resources, SkyPilot's parser, shellcheck for all
scripts, hadolint for the Dockerfile. Ray's launcher, KubeRay's resources and all versions: tests/unit/cluster/clouds.
Exit code 0: nothing was found. Nothing is started, and no cloud is asked.

No other module of the project may be imported here: these tools have an environment of their own.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from kubernetes_validate.utils import ValidationError

ROOT = Path(__file__).resolve().parents[1]
CLOUDS = ROOT / "cluster" / "clouds"
SCRIPTS = (*CLOUDS.glob("*.sh"), ROOT / ".ci" / "run")
KUBERNETES = "1.34"
"""Version of Kubernetes whose schemas are asked: an older one than most clouds offer now."""
TIMEOUT_S = 120


def main() -> None:
    """Print one line for each check, and what it found."""
    checks = [*_kubernetes(), ("SkyPilot: sky.yaml", _sky()), *_scripts(), ("hadolint: Dockerfile", _dockerfile())]
    for what, found in checks:
        print(f"{what}: {found or 'nothing found'}")
    sys.exit(1 if any(found for _, found in checks) else 0)


def _kubernetes() -> Iterator[tuple[str, str]]:
    for name in ("storage.yaml", "network.yaml"):
        (document,) = _documents(name)
        yield f"Kubernetes: {document['kind']} of {name}", _schema_fault(document)
    for name, path in (("raycluster.yaml", ()), ("rayjob.yaml", ("rayClusterSpec",))):
        (document,) = _documents(name)
        spec = document["spec"]
        for key in path:
            spec = spec[key]
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
            yield f"Kubernetes: pods of {group.get('groupName', 'head')} in {name}", _schema_fault(pod)


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLOUDS / name).read_text(encoding="utf-8")))


def _schema_fault(document: Mapping[str, object]) -> str:
    """Return where an object differs from Kubernetes' schema, unknown fields included; empty: nowhere."""
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except ValidationError as fault:
        return f"{'.'.join(map(str, fault.path))}: {fault.message}"
    return ""


def _sky() -> str:
    """Return what SkyPilot refuses in its file. It writes into its home folder, so it gets an empty one."""
    program = "import sys, sky; sky.Task.from_yaml(sys.argv[1])"
    with tempfile.TemporaryDirectory() as home:
        return _said([sys.executable, "-c", program, str(CLOUDS / "sky.yaml")], HOME=home)


def _scripts() -> Iterator[tuple[str, str]]:
    """Check the scripts, and those that are texts in SkyPilot's file."""
    for script in SCRIPTS:
        yield f"shellcheck: {script.relative_to(ROOT)}", _shellcheck(script)
    (task,) = _documents("sky.yaml")
    with tempfile.TemporaryDirectory() as folder:
        for part in ("setup", "run"):
            script = Path(folder) / f"{part}.sh"
            script.write_text("#!/usr/bin/env bash\n" + task[part], encoding="utf-8")
            yield f"shellcheck: {part} of sky.yaml", _shellcheck(script)


def _shellcheck(script: Path) -> str:
    return _said([_tool("shellcheck"), str(script)])


def _dockerfile() -> str:
    return _said([_tool("hadolint"), str(ROOT / "Dockerfile")])


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _said(command: list[str], **environment: str) -> str:
    """Return what a program said if it failed; empty if it did not."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=False,
    )
    return "" if done.returncode == 0 else f"\n{done.stdout}{done.stderr}".rstrip()


if __name__ == "__main__":
    main()
