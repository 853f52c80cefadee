"""`init`: look at data, models and machine, and write a commented config that runs.

It asks nothing, starts nothing and writes over nothing.
"""

import argparse
from pathlib import Path

from rich.console import Console as Terminal
from rich.text import Text

from cluster.capacity import this_machine
from contracts.errors import BadInput
from contracts.files import write_whole
from contracts.paths import PROGRAM, absolute
from driver.first_config.lengths import shown_prompt
from driver.first_config.machine import Machine
from driver.first_config.propose import Given, Proposal, propose
from driver.problems.sources import first_problems
from driver.tracking.console import Console
from driver.translation.training_config import TRAINING_CONFIG

_BUILT_ENCODER = ".cache/models/multilingual-e5-small"
_ENCODER = "intfloat/multilingual-e5-small"


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Write the config, and return its path with what was found.

    Raises:
        BadInput: the data or a model can't be used, the models don't fit, or the file is there already.
    """
    path = Path(arguments.out or f"{Path(arguments.data).stem}.toml").resolve()
    if path.exists():
        raise BadInput(f"{path} is there already, and is not written over; name another file with --out", key="--out")
    terminal = Terminal(stderr=arguments.json)
    with Console(terminal) as console:
        proposal = propose(_given(arguments), console)
        write_whole(path, proposal.text)
    languages = proposal.config.data.languages
    for problem in first_problems(proposal.source, languages, num_items=1):
        terminal.print(
            Text(f"\nprompt ({problem.language}):\n{shown_prompt(proposal.config, problem)}"), soft_wrap=True
        )
    for line in _summary(proposal, path):
        terminal.print(Text(line), soft_wrap=True)
    return {
        "config": str(path),
        "languages": dict(proposal.counts),
        "trained": list(languages),
        "has_english": proposal.has_english,
    }


def _given(arguments: argparse.Namespace) -> Given:
    here = this_machine()
    machine = Machine(
        gpus=int(here.gpus) if arguments.gpus is None else arguments.gpus,
        cpus=int(here.cpus),
        gpu_gib=arguments.gpu_memory_gib,
    )
    encoder = arguments.encoder or (_BUILT_ENCODER if absolute(_BUILT_ENCODER).is_dir() else _ENCODER)
    return Given(
        data=arguments.data,
        test=arguments.test,
        policy=arguments.policy,
        pivot=arguments.pivot or arguments.policy,
        encoder=encoder,
        languages=tuple(arguments.languages.split(",")) if arguments.languages else (),
        machine=machine,
        overrides=arguments.overrides,
    )


def _summary(proposal: Proposal, path: Path) -> list[str]:
    """Return what was found, and what to do next."""
    config, trained = proposal.config, str(path)
    lines = ["", f"languages: {', '.join(f'{code} {count}' for code, count in proposal.counts.items())}"]
    lines += [f"data: {note}" for note in proposal.source.notes]
    lines.append(f"written: {path}")
    if not proposal.has_english:
        name = f"{path.stem}-english"
        trained = str(Path(config.run.folder) / name / TRAINING_CONFIG)
        lines += [
            "The data has no English questions, and the pivot answers those. `translate` writes them.",
            f"first: {PROGRAM} translate {path} run.name={name}",
        ]
    if config.cluster.colocate and config.pivot.num_gpus == "auto":
        lines.append(f"first: {PROGRAM} references {trained}   (the pivot then has the GPU for itself)")
    return [*lines, f"next: {PROGRAM} doctor {trained}", f"then: {PROGRAM} train {trained}"]
