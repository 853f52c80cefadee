"""`references`: fill the reference cache ahead of runs. Starts pivot workers only, none where nothing is missing."""

import argparse
import asyncio
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console as Terminal

from cluster.launch import collect_logs, connected, placed
from cluster.layout import choose_device, layout
from cluster.team import Team
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import RunFailed
from driver.config_paths import with_absolute_paths
from driver.inputs import ReferenceInputs, prepare_references
from driver.references.cache import ReferenceCache
from driver.references.fill import Items, Sorted, ask_for, num_in_flight, sort_out
from driver.references.store import KnownReferences, PivotSampling, ReferenceStore
from driver.run_state.stopping import Stopped, StopRequest, stopping_on_sigterm
from driver.tracking.console import Console
from driver.tracking.logs import quiet_logs
from driver.tracking.run_folder import RunFolder, check_new, create, run_name


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Fill the cache; the summary of what was found, asked for and rejected.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: the pivot could not load its model, or died, or references could not be written.
    """
    started = time.monotonic()
    config = with_absolute_paths(load_config(arguments.config, arguments.overrides), models=("pivot",))
    path = check_new(config, config.run.name or f"references-{run_name(config, arguments.config)}")
    with Console(Terminal(stderr=arguments.json)) as console:
        with console.phase("checking data, model and prompts"):
            inputs = prepare_references(config)
        with console.phase("opening the reference cache"):
            cache = ReferenceCache(Path(config.pivot.cache), note=console.note)
        known = KnownReferences(prompt=inputs.prompter.reference_prompt, sampling=PivotSampling.of(config), cache=cache)
        with console.phase("looking for references", total=len(inputs.items)) as done:
            sorted_items = sort_out(inputs.items, known, on_progress=done)
        folder = create(path, config)
        quiet_logs(folder.logs / "driver.log")
        asking_s = _ask(config, sorted_items.missing, known, folder=folder, console=console)
        summary = _summary(inputs, sorted_items, known, asking_s=asking_s)
        summary |= {"run_folder": str(folder.path), "seconds": round(time.monotonic() - started, 1)}
        console.note(_headline(summary))
    folder.write_summary(summary)
    return summary


def _ask(config: Config, missing: Items, known: KnownReferences, *, folder: RunFolder, console: Console) -> float:
    """Start the pivot's workers and ask for what is missing; the seconds that they took to answer.

    Raises:
        RunFailed: they could not load their model, or gave up, or what they said could not be written.
    """
    if not missing:
        return 0.0
    with connected(config.cluster, console) as cluster:
        wanted = layout(config, choose_device(config, cluster), roles=("pivot",))
        with placed(wanted, config.cluster, console.waiting) as bundles:
            team = Team(config, bundles, console)
            try:
                asking_s = asyncio.run(_answered(config, missing, known, team=team, console=console))
            finally:
                collect_logs(team.processes, folder.logs)
    if known.cache.num_unsaved:
        raise RunFailed(
            f"{known.cache.num_unsaved} references could not be written to {config.pivot.cache}: make room, and start "
            "it again"
        )
    return asking_s


async def _answered(config: Config, missing: Items, known: KnownReferences, *, team: Team, console: Console) -> float:
    await team.start_pivot()
    book = ReferenceStore(
        pivot=team.pivot, prompt=known.prompt, sampling=known.sampling, cache=known.cache, counts=known.counts
    )
    started, stop = time.monotonic(), StopRequest()
    with (
        stopping_on_sigterm(stop, grace_s=config.checkpoint.grace_s, said=console.note),
        suppress(Stopped),  # what was answered is kept; the same command asks for the rest
        console.phase("asking for references", total=len(missing)) as done,
    ):
        asking = ask_for(missing, book, num_in_flight=num_in_flight(config.pivot), on_progress=done)
        await stop.before(asking)
    return time.monotonic() - started


def _summary(
    inputs: ReferenceInputs, sorted_items: Sorted, known: KnownReferences, *, asking_s: float
) -> dict[str, object]:
    """Of all items: those that were found in the cache count in everything but `tokens_per_s`."""
    counts = known.counts
    return {
        "data": inputs.items.source.name,
        "items": len(inputs.items),
        "found": sorted_items.num_found,
        "asked": counts.answered,
        "too_long": len(sorted_items.refused),
        "truncated": counts.truncated,
        "undecided": counts.undecided,
        "accuracy": counts.correct / counts.with_gold if counts.with_gold else None,
        "with_gold": counts.with_gold,
        "tokens": counts.tokens,
        "tokens_per_s": round(counts.tokens / asking_s, 1) if asking_s else None,
        "first_refusal": sorted_items.refused[0] if sorted_items.refused else None,
    }


def _headline(summary: dict[str, object]) -> str:
    parts = [f"{summary['items']} items", f"{summary['found']} found", f"{summary['asked']} asked for"]
    parts += [f"{summary[name]} {name}" for name in ("truncated", "undecided") if summary[name]]
    if summary["too_long"]:
        parts.append(f"{summary['too_long']} that the pivot can't read ({summary['first_refusal']})")
    if summary["accuracy"] is not None:
        parts.append(f"accuracy {summary['accuracy']:.1%} of {summary['with_gold']} with a known answer")
    if summary["tokens_per_s"] is not None:
        parts.append(f"{summary['tokens_per_s']:,.0f} tokens/s")
    return f"references: {', '.join(parts)}"
