"""Run an experiment, show its results, and draw its figures (`python -m experiments numbers`)."""

import argparse
import sys

from contracts.errors import BadInput
from experiments.figures import draw_figures
from experiments.plan import Experiment
from experiments.rows import read_rows
from experiments.runner import run_all
from experiments.tables import as_markdown


def main(arguments: list[str]) -> int:
    """Run the command. Return the exit code: 0 done, 1 a run failed or was stopped, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a folder of experiments/, e.g. numbers")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes the config of every arm")
    parser.add_argument("--arms", default="", help="some of the arms, e.g. pb-rlsvr,answer-only; all by default")
    parser.add_argument("--seeds", default="", help="some seeds, e.g. 1,2; those of the experiment by default")
    parser.add_argument("--any-commit", action="store_true", help="go on with results of an earlier commit")
    parser.add_argument("--show", action="store_true", help="run nothing: print the table and draw the figures")
    options = parser.parse_args(arguments)
    try:
        experiment = Experiment.read(options.experiment, tuple(options.overrides))
        num_failed = 0
        if not options.show:
            num_failed = run_all(
                experiment,
                arms=_words(options.arms),
                seeds=[int(seed) for seed in _words(options.seeds)],
                any_commit=options.any_commit,
                say=lambda line: print(line, flush=True),
            )
        rows = read_rows(experiment.results)
        print(as_markdown(rows))
        draw_figures(rows, experiment.folder)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; finished runs are kept, and the same command goes on with the others", file=sys.stderr)
        return 1
    return 1 if num_failed else 0


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
