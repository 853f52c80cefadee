"""A plan in words: the table of actors and the arithmetic of a batch."""

from collections.abc import Mapping

from rich.table import Table

from cluster.estimate import Memory
from cluster.layout import Layout, Role
from contracts.config.run import Config


def plan_table(layout: Layout, memory: Mapping[Role, Memory]) -> Table:
    """One row an actor."""
    table = Table("actor", "CPUs", "GPUs", "threads", "memory, GiB", "of which", title=f"device: {layout.device}")
    for placement in layout.placements:
        need = memory[placement.role]
        table.add_row(
            placement.name,
            f"{placement.bundle.cpus:g}",
            f"{placement.bundle.gpus:g}",
            str(placement.num_threads),
            "?" if need.total_gib is None else f"{need.total_gib:.1f}",
            need.formula,
        )
    return table


def batch_arithmetic(config: Config) -> list[str]:
    """How many responses and tokens a step has at most, and a run."""
    algorithm, policy, learner = config.algorithm, config.policy, config.learner
    per_problem = 1 if algorithm.name == "sft" else algorithm.group_size
    kind = "targets" if algorithm.name == "sft" else "responses"
    responses = algorithm.groups_per_step * per_problem
    drawn = (
        f"{responses * policy.max_response_tokens:,} response tokens and {responses * policy.max_model_len:,} tokens"
    )
    given = f"{responses * config.row_tokens:,} tokens"  # nothing is drawn: a row alone is the limit
    most = given if algorithm.name == "sft" else drawn
    lines = [
        f"a step: {algorithm.groups_per_step} problems x {per_problem} {kind} = {responses} {kind}, "
        f"at most {most} in all",
        f"a rank: {responses // learner.num_ranks} {kind} a step on each of {learner.num_ranks}, packed into rows "
        f"of at most {config.row_tokens} tokens",
        f"the run: {algorithm.steps} steps, {algorithm.steps * responses:,} {kind} to "
        f"{algorithm.steps * algorithm.groups_per_step:,} problems in {_languages(config)}",
    ]
    if algorithm.name != "sft":
        lines.append(_in_flight(config))
    if algorithm.optimizer_steps > 1:
        lines.append(
            f"a batch: {algorithm.mini_batches} mini-batches x {algorithm.epochs} epochs = "
            f"{algorithm.optimizer_steps} optimiser steps, {config.total_optimizer_steps:,} in the run"
        )
    if algorithm.name != "sft" or algorithm.sft_target == "pivot":
        workers = config.pivot.num_workers
        drawn = config.pivot.num_references
        many = "one" if drawn == 1 else f"one, the majority's of {drawn} responses,"
        lines.append(f"references: at most {many} for each of those problems' items, from {workers} pivot worker(s)")
    return lines


def _languages(config: Config) -> str:
    """Each with its share of the problems, where they are not alike."""
    data = config.data
    if not data.shares:
        return ", ".join(data.languages)
    shares = zip(data.languages, data.shares, strict=True)
    return ", ".join(f"{language} {share / sum(data.shares):.0%}" for language, share in shares)


def _in_flight(config: Config) -> str:
    """How many groups may be started and not yet learned from."""
    algorithm, policy = config.algorithm, config.policy
    workers = f"{policy.num_workers}"
    if policy.most_workers > policy.num_workers:
        workers += f" to {policy.most_workers}"
    staleness = algorithm.max_staleness
    when = "generation goes on while the learner works" if staleness else "on-policy: generation waits for the learner"
    replaced = f"; at most {algorithm.max_replacements} more a step for groups without signal"
    return (
        f"in flight: at most ({staleness} + 1) x {algorithm.groups_per_step} = {algorithm.groups_in_flight} groups, "
        f"{algorithm.groups_in_flight * algorithm.group_size} responses over {workers} policy worker(s); {when}"
        + (replaced if algorithm.max_replacements else "")
    )
