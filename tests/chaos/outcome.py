"""How a siege ended: what struck, what the auditor says of the run's folder, as a table and as JSON.

Owns the words. The audit is the run's own command, in a process of its own.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.plan import ACTORS, DRIVER_KINDS, Fault
from tests.commands import RUN


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is told in the end."""

    seed: int
    faults: tuple[Fault, ...]
    audit: Mapping[str, object]  # summary of `verify`
    audit_code: int  # its exit code
    starts: int  # of the driver
    seconds: float
    left_behind: tuple[str, ...]  # processes that outlived their driver
    folder: Path

    @property
    def is_proven(self) -> bool:
        return self.audit_code == 0 and self.audit["status"] == "finished"

    def as_json(self) -> dict[str, object]:
        by_target = {target: dict(counts) for target, counts in _counts(self.faults).items()}
        return {
            "seed": self.seed,
            "faults": by_target,
            "num_faults": len(self.faults),
            "starts": self.starts,
            "seconds": round(self.seconds, 1),
            "left_behind": list(self.left_behind),
            "folder": str(self.folder),
            "audit": dict(self.audit),
        }

    def lines(self) -> Iterator[str]:
        """For a person."""
        counts = _counts(self.faults)
        yield "faults   " + "".join(f"{kind:>9}" for kind in DRIVER_KINDS)
        for target in (*ACTORS, "driver"):
            yield f"{target:<9}" + "".join(f"{counts[target][kind] or '-':>9}" for kind in DRIVER_KINDS)
        yield f"{len(self.faults)} faults in {self.seconds:.0f} s; the driver was started {self.starts} times"
        yield from (f"left behind: {process[:100]}" for process in self.left_behind)
        yield "proven" if self.is_proven else "NOT PROVEN"


def verify(folder: Path) -> tuple[int, Mapping[str, object], str]:
    """Exit code, summary and what a person sees of `verify` on the folder.

    Raises:
        AssertionError: it gave no summary.
    """
    command = [sys.executable, str(RUN), "verify", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip(), f"verify ended with {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def _counts(faults: Sequence[Fault]) -> dict[str, Counter[str]]:
    return {target: Counter(fault.kind for fault in faults if fault.target == target) for target in (*ACTORS, "driver")}
