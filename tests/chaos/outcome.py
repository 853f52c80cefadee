"""Show how a run under faults ended: which faults it had, and what `verify` says of its folder."""

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
    """Hold the faults of a run and the result of `verify`."""

    seed: int
    faults: tuple[Fault, ...]
    verified: Mapping[str, object]  # JSON of `verify`
    exit_code: int  # of `verify`
    starts: int  # of the driver
    seconds: float
    left_behind: tuple[str, ...]  # processes that outlived their driver
    folder: Path

    @property
    def is_proven(self) -> bool:
        """Return whether the run finished and `verify` found nothing wrong."""
        return self.exit_code == 0 and self.verified["status"] == "finished"

    def as_json(self) -> dict[str, object]:
        """Return the outcome as plain JSON."""
        by_target = {target: dict(counts) for target, counts in _counts(self.faults).items()}
        return {
            "seed": self.seed,
            "faults": by_target,
            "num_faults": len(self.faults),
            "starts": self.starts,
            "seconds": round(self.seconds, 1),
            "left_behind": list(self.left_behind),
            "folder": str(self.folder),
            "verify": dict(self.verified),
        }

    def lines(self) -> Iterator[str]:
        """Yield the outcome as lines for a person."""
        counts = _counts(self.faults)
        columns = (*DRIVER_KINDS, "slow")
        yield "faults   " + "".join(f"{kind:>9}" for kind in columns)
        for target in (*ACTORS, "driver"):
            yield f"{target:<9}" + "".join(f"{counts[target][kind] or '-':>9}" for kind in columns)
        others = {kind: number for kind, number in counts["driver"].items() if kind not in columns}
        yield "and " + ", ".join(f"{kind} {number}" for kind, number in others.items())
        yield f"{len(self.faults)} faults in {self.seconds:.0f} s; the driver was started {self.starts} times"
        yield from (f"left behind: {process[:100]}" for process in self.left_behind)
        yield "proven" if self.is_proven else "NOT PROVEN"


def verify(folder: Path) -> tuple[int, Mapping[str, object], str]:
    """Run `verify` on the folder in a process of its own; return its exit code, its JSON and what it printed.

    Raises:
        AssertionError: it gave no JSON.
    """
    command = [sys.executable, str(RUN), "verify", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip(), f"verify ended with {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def _counts(faults: Sequence[Fault]) -> dict[str, Counter[str]]:
    return {target: Counter(fault.kind for fault in faults if fault.target == target) for target in (*ACTORS, "driver")}
