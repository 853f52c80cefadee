"""`doctor`: make every check of a config, sample a few responses, and print all mistakes and warnings at once.

Starts Ray, policy, pivot and scorers only where their models are on this machine, and writes no run folder. What the
pivot answers is kept in the reference cache.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console as Terminal
from rich.table import Table
from rich.text import Text

from contracts.config.load import load_training_config
from contracts.config.run import Config
from contracts.errors import refuse_all
from contracts.ports import Console
from driver.diagnosis.checks import Diagnosis, diagnose
from driver.diagnosis.samples import Sample, draw_samples, lessons, missing_models, sampled_roles
from driver.diagnosis.warnings import warnings
from driver.inputs import TrainingInputs
from driver.tracking.console import Console as PhaseConsole

_SHOWN = 60  # characters of a response in the table


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Print what was found, and return it as data.

    Raises:
        BadInput: with every mistake that was found.
        RunFailed: a model could not be loaded for the samples.
    """
    config = load_training_config(arguments.config, arguments.overrides)
    terminal = Terminal(stderr=arguments.json)
    with PhaseConsole(terminal) as console:
        found = diagnose(config, console)
        samples, notes = _samples(found, num=arguments.samples, console=console)
    said = [*notes, *(warnings(found.config, found.inputs) if found.inputs is not None else [])]
    said += lessons(samples, found.config)
    if samples:
        terminal.print(_table(samples))
    for line in said:
        terminal.print(Text(f"warning: {line}"), soft_wrap=True)
    refuse_all(found.mistakes)
    terminal.print("no mistake was found", soft_wrap=True)
    return {"warnings": said, "samples": [asdict(sample) for sample in samples]}


def _samples(found: Diagnosis, *, num: int, console: Console) -> tuple[list[Sample], list[str]]:
    """Return the samples, and why there are none."""
    config, inputs = found.config, found.inputs
    if num == 0 or inputs is None:
        return [], []
    if not sampled_roles(config):
        return [], ["no samples: this config scores no responses"]
    if missing := missing_models(config):
        return [], [f"no samples: not on this machine: {', '.join(missing)}"]
    return found.attempt("samples", lambda: _draw(config, inputs, num=num, console=console), console) or [], []


def _draw(config: Config, inputs: TrainingInputs, *, num: int, console: Console) -> list[Sample]:
    """Return samples from actors of their own.

    Raises:
        BadInput: the cluster is too small for the whole run, or a node lacks something.
        RunFailed: an actor failed.
    """
    from cluster.builds import installed_builds
    from cluster.device import place
    from cluster.launch import connected
    from cluster.layout import training_roles
    from cluster.preflight.nodes import check_placed
    from cluster.reserve import placed
    from cluster.team import Team
    from contracts.config.device_defaults import with_device_defaults

    with connected(config.cluster, console) as nodes, tempfile.TemporaryDirectory() as folder:
        place(config, nodes, installed_builds(), roles=training_roles(config), console=console)
        wanted = place(config, nodes, installed_builds(), roles=sampled_roles(config), console=console)
        sized = with_device_defaults(config, wanted.device)
        with placed(wanted, config.cluster, console.waiting) as bundles:
            check_placed(sized, bundles, console)
            team = Team(sized, bundles, console, folder=Path(folder))
            return asyncio.run(draw_samples(sized, inputs, team, num=num, console=console))


def _table(samples: Sequence[Sample]) -> Table:
    """Return a row for each sample."""
    table = Table("language", "reward", "closed gates", "answer", "response", title="samples")
    for sample in samples:
        reward = f"not scored: {sample.why}" if sample.reward is None else f"{sample.reward:.2f}"
        text = sample.text if len(sample.text) <= _SHOWN else f"{sample.text[:_SHOWN]}..."
        cells = (sample.language, reward, ", ".join(sample.closed), sample.answer or "", text)
        table.add_row(*(Text(cell) for cell in cells))
    return table
