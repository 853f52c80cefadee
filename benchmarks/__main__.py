"""Measure the system beside bare loops on the same work.

    python -m benchmarks [NAME ...] [section.key=value ...] [--json]

NAMEs are generation, scoring, packing, learning, push, step, cache, streaming and driver; without one, all of them.
Everything that is not a size below is read from the config, as a run reads it. The last three read none of it.
"""

import argparse
import json
import sys
import traceback
from pathlib import Path

from benchmarks.isolate import in_fresh_process, say
from benchmarks.machine import this_machine
from benchmarks.measure import Outcome, Sizes
from benchmarks.show import tables
from contracts.config.load import load_config
from contracts.errors import BadInput
from contracts.paths import ROOT
from driver.config_paths import with_absolute_paths

NAMES = ("generation", "scoring", "packing", "learning", "push", "step", "cache", "streaming", "driver")


def main() -> int:
    arguments = _parser().parse_intermixed_args()  # names and overrides may stand around options
    names = [word for word in arguments.words if "=" not in word] or list(NAMES)
    try:
        if unknown := [name for name in names if name not in NAMES]:
            raise BadInput(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
        sizes = _sizes(arguments)
    except BadInput as mistake:
        say(str(mistake))
        return 2
    machine = this_machine()
    if not machine.is_quiet:
        say(f"other processes are busy (load {machine.load_before:.2f}): the ratios will be uncertain")
    outcomes: list[Outcome] = []
    failed: list[str] = []
    for name in names:
        say(f"{name} ...")
        try:
            outcomes += in_fresh_process(name, sizes)
        except BadInput as mistake:
            say(str(mistake))
            return 2
        except Exception:  # noqa: BLE001 - whatever breaks one benchmark, the others can still be measured
            traceback.print_exc()
            failed.append(name)
    print(f"{machine}\n\n{tables(outcomes)}")
    if arguments.json:
        results = [outcome.as_json() for outcome in outcomes]
        print(json.dumps({"machine": machine.as_json(), "results": results, "failed": failed}))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="NAME | section.key=value", help="what to measure, and overrides")
    parser.add_argument(
        "--config", type=Path, default=ROOT / "configs" / "quickstart.toml", help="of a run (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=4, help="of each side that count; one more warms up (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of every actor, as the quickstart has it (%(default)s)")
    parser.add_argument("--groups", type=int, default=8, help="prompts, or groups to score, a round (%(default)s)")
    parser.add_argument("--group-size", type=int, default=8, help="responses to each (%(default)s)")
    parser.add_argument("--sequences", type=int, default=32, help="in a learner's batch (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object last")
    return parser


def _sizes(arguments: argparse.Namespace) -> Sizes:
    overrides = [word for word in arguments.words if "=" in word]
    sizes = {name: getattr(arguments, name) for name in ("rounds", "threads", "groups", "group_size", "sequences")}
    if small := [name for name, value in sizes.items() if value < 1]:
        raise BadInput(f"{', '.join(small)} must be at least 1")
    return Sizes(config=with_absolute_paths(load_config(arguments.config, overrides)), **sizes)


if __name__ == "__main__":
    sys.exit(main())
