"""Reckon the seconds of a step of a config on GPUs, stage by stage, and what each key costs. Nothing is started.

    python -m benchmarks scale CONFIG [section.key=value ...] [--prompt-tokens 300] [--response-tokens 1000]

Every speed is a constant of benchmarks/reckoning.py, and is printed. None of them was measured with this program.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.published import with_published_sizes
from benchmarks.reckoning import Machine, Work, step_time
from cluster.estimate.fits import Hardware, check_memory
from cluster.layout import layout
from contracts.config.device_defaults import with_device_defaults
from contracts.config.learning import PolicyGradientConfig
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import BadInput

STAGES = ("generation", "pivot", "scoring", "learner", "push", "whole")


def main(words: Sequence[str]) -> int:
    """Print the tables of a config. Return 2 for bad input, else 0."""
    arguments = _parser().parse_intermixed_args(list(words))
    work = Work(
        prompt=arguments.prompt_tokens, response=arguments.response_tokens, reference=arguments.reference_tokens
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            print("\n\n".join(tables(arguments.config, arguments.overrides, work, folder=Path(folder))))
    except BadInput as mistake:
        print(mistake, file=sys.stderr)
        return 2
    return 0


def tables(config: Path, overrides: Sequence[str], work: Work, *, folder: Path) -> tuple[str, str, str]:
    """Return three tables in Markdown: seconds of the config, seconds with one key changed, and the constants.

    Raises:
        BadInput: the config is wrong, is not of a policy-gradient run, or the sizes of a model are not known.
    """
    given = _resolved(config, overrides, folder)
    header = ["| | generation | pivot | scoring | learner | push | step |", "|---|---|---|---|---|---|---|"]
    changed = [_changed_row(config, overrides, change, work, folder=folder) for change in changed_keys(given)]
    constants = [
        f"| `{name}` | {constant.value:g} {constant.unit} | {constant.meaning} |"
        for name, constant in Machine().named().items()
    ]
    return (
        "\n".join([*header, row("as it is", given, work)]),
        "\n".join([*header, *changed]),
        "\n".join(["| constant | value | meaning |", "|---|---|---|", *constants]),
    )


def changed_keys(config: Config) -> list[str]:
    """Return overrides that set one key each to what it could be as well: a CPU's default, or the other layout."""
    algorithm, learner = config.algorithm, config.learner
    assert isinstance(algorithm, PolicyGradientConfig)
    return [
        f"algorithm.max_staleness={0 if algorithm.max_staleness else 1}",
        "policy.max_num_seqs=64",
        f"learner.row_tokens={config.policy.max_model_len}",
        "learner.logprob_chunk_tokens=256",
        "weights.bucket_mib=128",
        f"learner.gradient_checkpointing={str(not learner.gradient_checkpointing).lower()}",
        f"learner.offload_optimizer={str(not learner.offload_optimizer).lower()}",
        f"learner.share_prompts={str(not learner.share_prompts).lower()}",
        f"learner.num_ranks={2 * learner.num_ranks}",
        f"policy.num_workers={2 * config.policy.num_workers}",
    ]


def _resolved(config: Path, overrides: Sequence[str], folder: Path) -> Config:
    """Return a config for GPUs whose models have sizes.

    Raises:
        BadInput: as `tables` says.
    """
    loaded = load_config(config, list(overrides))
    if not isinstance(loaded.algorithm, PolicyGradientConfig):
        raise BadInput(
            f'{config}: algorithm.name = "{loaded.algorithm.name}" draws no responses; give a config of grpo or ppo',
            key="algorithm.name",
        )
    return with_device_defaults(with_published_sizes(loaded, folder), "cuda")


def row(name: str, config: Config, work: Work) -> str:
    """Return the seconds of a config as a row; dashes and the key that `plan` would name if it does not fit."""
    machine = Machine()
    try:
        check_memory(config, layout(config, "cuda"), Hardware(gpu_gib=machine.gpu_gib.value))
    except BadInput as mistake:
        return _refused(name, mistake)
    values = asdict(step_time(config, machine, work))
    return f"| {name} | {' | '.join(f'{values[stage]:.1f}' for stage in STAGES)} |"


def _changed_row(config: Path, overrides: Sequence[str], change: str, work: Work, *, folder: Path) -> str:
    try:
        return row(f"`{change}`", _resolved(config, [*overrides, change], folder), work)
    except BadInput as mistake:
        return _refused(f"`{change}`", mistake)


def _refused(name: str, mistake: BadInput) -> str:
    return f"| {name}: refused, `{mistake.key}` |{' - |' * len(STAGES)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="config of a run on GPUs")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    defaults = Work()
    parser.add_argument("--prompt-tokens", type=int, default=defaults.prompt, help="mean prompt (%(default)s)")
    parser.add_argument("--response-tokens", type=int, default=defaults.response, help="mean response (%(default)s)")
    parser.add_argument("--reference-tokens", type=int, default=defaults.reference, help="mean reference (%(default)s)")
    return parser
