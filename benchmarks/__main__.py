"""Measure the system beside bare loops on the same work.

    python -m benchmarks [NAME ...] [section.key=value ...] [--json]

The names are generation, scoring, packing, learning, push, step, memory, cache, fingerprint, streaming, driver and
record. Without a name, all of them run. Everything that is not a size below is read from the config, as a run reads it;
the last four read nothing of it.

    python -m benchmarks scale CONFIG           reckon the seconds of a step on GPUs; nothing is measured

More benchmarks have commands of their own:

    python -m benchmarks.monitoring             metrics of 1,000 actors, the live page at 10,000 steps
    python -m benchmarks.logprob_memory         memory of the log-probabilities
    python -m benchmarks.reward_weights FILE    which weights rank right outputs over wrong ones
    python -m benchmarks.gate_thresholds FILE   what a gate shuts at other thresholds
    python -m benchmarks.rules_time FILE        computing time of the reward's rules for each text
    python -m benchmarks.interval_coverage      how often intervals of few items hold the true difference
    make bench-trl                              whole steps beside TRL's GRPOTrainer
    make comet-parity                           COMET scores beside the unbabel-comet package
    make eval-check                             evaluation beside lm-evaluation-harness, item by item
"""

import argparse
import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

from benchmarks import scale
from benchmarks.machine import in_fresh_process, say, this_machine
from benchmarks.measure import Sizes
from benchmarks.outcomes import Outcome, as_json, measured, tables
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import load_config
from contracts.errors import BadInput
from contracts.paths import ROOT
from driver.config_paths import with_absolute_paths

NAMES = (
    "generation",
    "scoring",
    "packing",
    "learning",
    "push",
    "step",
    "memory",
    "cache",
    "fingerprint",
    "streaming",
    "driver",
    "record",
)


def main() -> int:
    """Run the named benchmarks, each in a process of its own. Return 2 for bad input, 1 for a failure, else 0."""
    if sys.argv[1:2] == ["scale"]:
        return scale.main(sys.argv[2:])
    arguments = _parser().parse_intermixed_args()  # names and overrides may stand before and after options
    names = [word for word in arguments.words if "=" not in word] or list(NAMES)
    outcomes: list[Outcome] = []
    failed: list[str] = []
    try:
        if unknown := [name for name in names if name not in NAMES]:
            raise BadInput(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
        sizes = _sizes(arguments)
        machine = this_machine()
        for name in names:
            say(f"{name} ...")
            try:
                outcomes += in_fresh_process(measured, name, sizes)
            except BadInput:
                raise
            except Exception:  # noqa: BLE001 - the other benchmarks can still be measured
                traceback.print_exc()
                failed.append(name)
    except BadInput as mistake:
        say(str(mistake))
        return 2
    print(f"{machine}\n\n{tables(outcomes)}")
    if arguments.json:
        results = [as_json(outcome) for outcome in outcomes]
        print(json.dumps({"machine": asdict(machine), "results": results, "failed": failed}))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="NAME | section.key=value", help="what to measure, and overrides")
    parser.add_argument(
        "--config", type=Path, default=ROOT / "configs" / "smollm2.toml", help="config of a run (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=4, help="rounds of each side that count; one more warms up (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of every actor (%(default)s)")
    parser.add_argument("--groups", type=int, default=8, help="prompts, or groups to score, in a round (%(default)s)")
    parser.add_argument("--group-size", type=int, default=8, help="responses to each prompt (%(default)s)")
    parser.add_argument("--sequences", type=int, default=32, help="sequences in a learner's batch (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object last")
    return parser


def _sizes(arguments: argparse.Namespace) -> Sizes:
    overrides = [word for word in arguments.words if "=" in word]
    sizes = {name: getattr(arguments, name) for name in ("rounds", "threads", "groups", "group_size", "sequences")}
    if small := [name for name, value in sizes.items() if value < 1]:
        raise BadInput(f"{', '.join(small)} must be at least 1")
    config = with_absolute_paths(load_config(arguments.config, overrides))
    device = "cuda" if config.cluster.device == "cuda" else "cpu"
    return Sizes(config=with_device_defaults(config, device), **sizes)


if __name__ == "__main__":
    sys.exit(main())
