"""Say which version of the project runs, and with which engines: what a report of a mistake needs first."""

import platform
import tomllib
from importlib.metadata import PackageNotFoundError, version

from cluster.builds import PACKAGES, package_version
from contracts.paths import IS_INSTALLED, ROOT

DISTRIBUTION = "pb-rlsvr"


def project_version() -> str:
    """Return the version: of the installed package, or of the checkout's pyproject.toml."""
    if IS_INSTALLED:
        try:
            return version(DISTRIBUTION)
        except PackageNotFoundError:  # the package's folder was copied from its environment
            return "unknown"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def version_lines() -> list[str]:
    """Return the project's version, then Python's and that of every engine."""
    engines = [f"{name} {package_version(name) or 'not installed'}" for name in PACKAGES]
    return [f"PB-RLSVR {project_version()}", f"python {platform.python_version()}", *engines]
