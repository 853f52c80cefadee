"""Inject faults into a real run, then verify its folder: `python -m tests.chaos`. Exit code 0 where all is proven."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.chaos.disk import SmallDisk, enter_namespace
from tests.chaos.injection import FaultInjection, RunBroken, clean_environment
from tests.chaos.outcome import Outcome, verify
from tests.chaos.plan import FaultType, fault_types, plan
from tests.chaos.tiny_run import TinySettings, prepare
from tests.commands import ROOT

DISK_MIB = 1024
"""Size of the run's disk; a run takes a quarter of it."""


def main() -> int:
    arguments = _arguments()
    has_disk = enter_namespace("tests.chaos", sys.argv[1:])
    place = Path(
        arguments.folder or ROOT / "runs" / f"chaos-{arguments.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    ).resolve()
    place.mkdir(parents=True)
    settings = TinySettings(
        steps=arguments.steps, seed=arguments.seed, dead_after_s=arguments.dead_after, pace_s=arguments.pace
    )
    types = fault_types(arguments.faults, seed=arguments.seed)
    faults = plan(
        [found for found in types if _is_wanted(found, arguments.only, has_disk=has_disk)],
        steps=settings.steps,
        seed=arguments.seed,
        dead_after_s=settings.dead_after_s,
    )
    disk = SmallDisk(place / "disk", size_mib=DISK_MIB) if has_disk else None
    run = prepare(place, settings, runs=disk.path if disk else place)
    ray_folder = Path(tempfile.mkdtemp(prefix="pb", dir="/tmp"))  # short: sockets' paths have a limit of 107 bytes
    started = time.monotonic()
    console = Console(stderr=arguments.json, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{len(faults)} faults over {settings.steps} steps; {place}")
    if disk is None:
        console.print("no full disk among them: this system does not allow to mount a small one")
    environment = clean_environment(ray_folder)
    try:
        with FaultInjection(run, environment=environment, stall_s=arguments.stall, disk=disk) as injection:
            injection.inject(faults)
    except RunBroken as failure:
        console.print(f"FAILED: {failure}\n{place}; Ray's logs: {ray_folder}")
        return 1
    finally:
        if disk is not None:  # it is gone when this process ends
            shutil.copytree(run.folder.path, place / run.folder.path.name, dirs_exist_ok=True)
    exit_code, verified, said = verify(run.folder.path)
    shutil.rmtree(ray_folder, ignore_errors=True)
    outcome = Outcome(
        seed=arguments.seed,
        faults=tuple(faults),
        verified=verified,
        exit_code=exit_code,
        starts=injection.starts,
        seconds=time.monotonic() - started,
        left_behind=tuple(injection.left_behind),
        folder=place,
    )
    console.print(said.rstrip(), *outcome.lines(), sep="\n")
    if arguments.json:
        sys.stdout.write(json.dumps(outcome.as_json()) + "\n")
    return 0 if outcome.is_proven else 1


def _is_wanted(found: FaultType, kinds: Sequence[str], *, has_disk: bool) -> bool:
    return (not kinds or found[1] in kinds) and (has_disk or found[1] != "full_disk")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--faults", type=int, default=36)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], metavar="KIND", help="only faults of these kinds")
    parser.add_argument("--dead-after", type=float, default=8.0, help="fleet.dead_after_s, in seconds")
    parser.add_argument("--pace", type=float, default=2.5, help="least seconds that a scorer takes for a group")
    parser.add_argument("--stall", type=float, default=900.0, help="seconds without a new step that fail the run")
    parser.add_argument("--folder", default="", help="where everything is written; default: runs/chaos-SEED-TIME")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, last on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
