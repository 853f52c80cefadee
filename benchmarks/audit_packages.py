"""Ask an advisory service which pinned packages have known vulnerabilities: `make audit-packages`.

pip-audit (PyPA) does the asking. It ends with success even if the service knew none of the packages, so this script
counts what was really audited. Exit code 0: every package was audited, and none has a known vulnerability. 1: some
have. 2: packages could not be audited, because no service answered for them.

No other module of the project may be imported here: pip-audit has an environment of its own, without these packages.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SERVICES = ("pypi", "osv")
"""Names of pip-audit for the services that are tried in turn: that of the package index, and OSV."""
TIMEOUT_S = 900


@dataclass(frozen=True)
class Audit:
    """Hold what one service said about one list of packages."""

    audited: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()  # the service does not know them
    vulnerable: tuple[str, ...] = ()  # "package version: advisory, advisory"
    failure: str = ""  # why there is no answer at all

    @property
    def is_reachable(self) -> bool:
        """Return whether the service knew at least one package: each list has packages that everybody uses."""
        return bool(self.audited)


def read_report(text: str) -> Audit:
    """Return what pip-audit's JSON says.

    Raises:
        ValueError: it is no such JSON.
    """
    dependencies = json.loads(text)["dependencies"]
    known = [each for each in dependencies if "skip_reason" not in each]
    return Audit(
        audited=tuple(each["name"] for each in known),
        skipped=tuple(each["name"] for each in dependencies if "skip_reason" in each),
        vulnerable=tuple(
            f"{each['name']} {each['version']}: {', '.join(found['id'] for found in each['vulns'])}"
            for each in known
            if each["vulns"]
        ),
    )


def without_local_versions(requirements: str) -> str:
    """Return the list with "2.13.0" for "2.13.0+cpu": advisories name the public version of a build."""
    return "\n".join(line.split("+", 1)[0] for line in requirements.splitlines() if not line.startswith("#"))


def audit(requirements: str, service: str) -> Audit:
    """Ask one service about one list of pinned packages."""
    with tempfile.TemporaryDirectory() as folder:
        pinned, report = Path(folder, "requirements.txt"), Path(folder, "report.json")
        pinned.write_text(without_local_versions(requirements), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(pinned), "--no-deps", "--disable-pip"]
        command += ["--vulnerability-service", service, "--format", "json", "--output", str(report)]
        command += ["--progress-spinner", "off"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return Audit(failure=f"no answer within {TIMEOUT_S} s")
        try:
            return read_report(report.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, KeyError):
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            return Audit(failure=last[0][:120])


def conclude(name: str, audits: dict[str, Audit]) -> tuple[int, list[str]]:
    """Return the exit code and the lines about one list, from the answers of the services that were asked."""
    service = next((service for service, found in audits.items() if found.is_reachable), None)
    if service is None:
        reasons = [
            f"  {service}: {found.failure or f'knows none of the {len(found.skipped)} packages'}"
            for service, found in audits.items()
        ]
        return 2, [f"{name}: NOT AUDITED, no advisory service answers for these packages from here", *reasons]
    found = audits[service]
    lines = [f"{name}: {len(found.audited)} packages audited ({service}), {len(found.vulnerable)} vulnerable"]
    lines += [f"  {each}" for each in found.vulnerable]
    if found.skipped:
        lines.append(f"  NOT AUDITED, unknown to the service: {', '.join(found.skipped)}")
    return 1 if found.vulnerable else 2 if found.skipped else 0, lines


def main() -> int:
    """Audit the lists on the command line; print one result each."""
    worst = 0
    for path in map(Path, sys.argv[1:]):
        requirements, audits = path.read_text(encoding="utf-8"), dict[str, Audit]()
        for service in SERVICES:
            audits[service] = audit(requirements, service)
            if audits[service].is_reachable:
                break
        code, lines = conclude(str(path), audits)
        print(*lines, sep="\n", flush=True)
        worst = 1 if 1 in (code, worst) else max(code, worst)
    return worst


if __name__ == "__main__":
    sys.exit(main())
