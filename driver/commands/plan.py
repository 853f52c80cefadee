"""`plan`: what a config would start, in numbers, without starting anything."""

import argparse
import os

from rich.console import Console

from cluster.estimate import estimate
from cluster.layout import Resources, layout, training_roles
from contracts.config.load import load_config
from driver.commands.plan_text import batch_arithmetic, plan_table
from driver.config_paths import with_absolute_paths


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Print the plan; the same as data."""
    config = with_absolute_paths(load_config(arguments.config, arguments.overrides))
    device = "cuda" if config.cluster.device == "cuda" else "cpu"
    wanted = layout(config, device, roles=training_roles(config))
    memory = estimate(config, device)
    console = Console(stderr=arguments.json)
    console.print(plan_table(wanted, memory))
    for line in batch_arithmetic(config):
        console.print(line, soft_wrap=True)
    here = Resources(cpus=os.cpu_count() or 1, gpus=0)
    console.print(f"in all: {wanted.total}; this machine has {here.cpus:g} CPUs", soft_wrap=True)
    return {
        "device": device,
        "actors": [
            {
                "name": placement.name,
                "cpus": placement.bundle.cpus,
                "gpus": placement.bundle.gpus,
                "threads": placement.num_threads,
                "memory_gib": memory[placement.role].total_gib,
            }
            for placement in wanted.placements
        ],
        "batch": batch_arithmetic(config),
    }
