"""`plan`: print what a config would start, in numbers, without starting anything."""

import argparse

from rich.console import Console

from cluster.builds import installed_builds
from cluster.capacity import this_machine
from cluster.device import planned_device
from cluster.estimate.actors import estimate
from cluster.estimate.fits import check_memory
from cluster.layout import Resources, Role, layout, training_roles
from cluster.settings import check_settings
from contracts.config.device_defaults import device_values, with_device_defaults
from contracts.config.learning import LearnerConfig, PolicyGradientConfig, SftConfig
from contracts.config.load import load_training_config
from contracts.config.run import Config
from contracts.config.workers import PolicyConfig
from driver.commands.planned_memory import actor_gib, memory_lines, plan_table, planned_hardware
from driver.config_paths import training_models, with_absolute_paths
from driver.late_pivot import NO_PIVOT, planned_late_roles


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Print the plan, and return the same as data.

    Raises:
        BadInput: the config is wrong, or an actor does not fit into its memory; the plan is printed all the same. With
            --check also: a node lacks something that the run needs.
    """
    config = load_training_config(arguments.config, arguments.overrides)
    config = with_absolute_paths(config, models=training_models(config))
    roles = training_roles(config)
    where, has = "this machine", this_machine()
    if arguments.check:
        config, where, has = _checked(config, roles, is_json=arguments.json)
    chosen = planned_device(config, has, installed_builds(), roles=roles)
    device = chosen.device
    check_settings(config, device, roles=roles)
    config = with_device_defaults(config, device)
    notes = [chosen.note] if chosen.note and not arguments.check else []  # the check has said it
    late = planned_late_roles(config, note=notes.append)
    wanted = layout(config, device, roles=tuple(role for role in roles if role not in late))
    hardware = planned_hardware(config.cluster)
    memory = estimate(config, device, gpu_gib=hardware.gpu_gib)
    console = Console(stderr=arguments.json)
    console.print(plan_table(wanted, memory))
    for line in (*batch_arithmetic(config), *memory_lines(config, wanted), *notes, *([NO_PIVOT] if late else [])):
        console.print(line, soft_wrap=True)
    console.print(f"in total: {wanted.total}; {where} has {has}", soft_wrap=True)
    check_memory(config, wanted, hardware)
    return {
        "device": device,
        "actors": [
            {
                "name": placement.name,
                "cpus": placement.bundle.cpus,
                "gpus": placement.bundle.gpus,
                "threads": placement.num_threads,
                "nodes": dict(placement.nodes),
                **actor_gib(memory[placement.role], placement.index),
            }
            for placement in wanted.placements
        ],
        "by_device": dict(device_values(config)),
        "batch": batch_arithmetic(config),
        "late": list(late),
    }


def _checked(config: Config, roles: tuple[Role, ...], *, is_json: bool) -> tuple[Config, str, Resources]:
    """Check the nodes of the cluster, and return what it has, and the config with the size of its GPUs.

    Only this part of the command loads Ray.
    """
    from driver.commands.plan_check import checked_cluster
    from driver.tracking.console import Console as PhaseConsole

    with PhaseConsole(Console(stderr=is_json)) as console:
        found = checked_cluster(config, roles=roles, console=console)
    if config.cluster.gpu_memory_gib == "auto" and found.gpu_gib is not None:
        cluster = config.cluster.model_copy(update={"gpu_memory_gib": found.gpu_gib})
        config = config.model_copy(update={"cluster": cluster})
    return config, "the cluster", found.resources


def batch_arithmetic(config: Config) -> list[str]:
    """Return how many responses and tokens a step, a rank and the run have at most, one sentence each."""
    algorithm, policy, learner = config.algorithm, config.policy, config.learner
    per_problem = algorithm.samples_per_problem
    kind = "targets" if algorithm.name == "sft" else "responses"
    responses = algorithm.groups_per_step * per_problem
    drawn = (
        f"{responses * policy.max_response_tokens:,} response tokens and {responses * policy.max_model_len:,} tokens"
    )
    given = f"{responses * config.row_tokens:,} tokens"  # nothing is sampled: only the length of a row is the limit
    most = given if algorithm.name == "sft" else drawn
    lines = [
        f"per step: {algorithm.groups_per_step} problems x {per_problem} {kind} = {responses} {kind}, "
        f"at most {most} in total",
        f"per rank: {_per_rank(learner, responses)} {kind} per step on each of {learner.num_ranks}, packed into rows "
        f"of at most {config.row_tokens} tokens",
        f"whole run: {algorithm.steps} step(s), {algorithm.steps * responses:,} {kind} to "
        f"{algorithm.steps * algorithm.groups_per_step:,} problems in {_languages(config)}",
    ]
    lines.append("by device: " + ", ".join(f"{key} {value}" for key, value in device_values(config).items()))
    if isinstance(algorithm, PolicyGradientConfig):
        lines.append(_in_flight(algorithm, config.policy))
    if algorithm.optimizer_steps > 1:
        lines.append(
            f"per batch: {algorithm.mini_batches} mini-batches x {algorithm.epochs} epochs = "
            f"{algorithm.optimizer_steps} optimiser steps, {config.total_optimizer_steps:,} in the run"
        )
    if not isinstance(algorithm, SftConfig) or algorithm.sft_target == "pivot":
        workers = config.pivot.num_workers
        drawn = config.pivot.num_references
        many = "one" if drawn == 1 else f"one, the majority's of {drawn} responses,"
        lines.append(
            f"references: at most {many} for the item of each of those problems, from {workers} pivot worker(s)"
        )
    return lines


def _per_rank(learner: LearnerConfig, responses: int) -> str:
    """Return the number of responses of a rank, and with how many it shares them."""
    found = f"{responses / learner.data_parallel_size:.4g}"
    size = learner.sequence_parallel_size
    return found if size == 1 else f"1/{size} of the tokens of {found}"


def _languages(config: Config) -> str:
    """Return the languages, each with its share of the problems where the shares differ."""
    data = config.data
    if data.shares == "equal":
        return ", ".join(data.languages)
    shares = zip(data.languages, data.shares, strict=True)
    return ", ".join(f"{language} {share / sum(data.shares):.0%}" for language, share in shares)


def _in_flight(algorithm: PolicyGradientConfig, policy: PolicyConfig) -> str:
    """Return how many groups may be started and not yet learned from."""
    workers = f"{policy.num_workers}"
    if policy.most_workers > policy.num_workers:
        workers += f" to {policy.most_workers}"
    staleness = algorithm.max_staleness
    when = (
        "generation continues while the learner works" if staleness else "on-policy: generation waits for the learner"
    )
    replaced = f"; at most {algorithm.max_replacements} more per step, for groups without signal"
    return (
        f"in flight: at most ({staleness} + 1) x {algorithm.groups_per_step} = {algorithm.groups_in_flight} groups, "
        f"{algorithm.groups_in_flight * algorithm.group_size} responses over {workers} policy worker(s); {when}"
        + (replaced if algorithm.max_replacements else "")
    )
