"""`references`: fill the reference cache ahead of runs. Starts pivot workers only, and none if nothing is missing."""

import argparse
import time
from contextlib import suppress
from pathlib import Path

from cluster.team import Team
from contracts.config.device_defaults import with_device_defaults
from contracts.errors import RunFailed
from driver.commands.new_run import NewRun, new_run, print_template_notes
from driver.inputs import ReferenceInputs, prepare_references
from driver.references.cache import ReferenceCache
from driver.references.fill import CacheContents, Items, ask_for, look_up, num_in_flight
from driver.references.store import KnownReferences, PivotSampling, ReferenceStore
from driver.run_state.stopping import Stopped, StopRequest, stopping_on_sigterm


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Fill the cache, and return the summary of what was found, asked for and rejected.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: the pivot could not load its model, or died, or references could not be written.
    """
    with new_run(arguments, "references", role="pivot") as command:
        config, console = command.config, command.console
        with console.phase("checking data, model and prompts"):
            inputs = prepare_references(config)
        print_template_notes(console, pivot=inputs.prompter)
        for note in inputs.notes:
            console.note(note)
        with console.phase("opening the reference cache"):
            sampling = PivotSampling.of(config)
            origin = sampling.origin(config.pivot.model, inputs.prompter)
            cache = ReferenceCache(Path(config.pivot.cache), note=console.note, origin=origin)
        known = KnownReferences(prompt=inputs.prompter.reference_prompt, sampling=sampling, cache=cache)
        with console.phase("looking for references", total=len(inputs.items)) as done:
            contents = look_up(inputs.items, known, on_progress=done)
        asking_s = _ask(command, contents.missing, known) if contents.missing else 0.0
        summary = command.finish(_summary(inputs, contents, known, asking_s=asking_s))
        console.note(_headline(summary))
    return summary


def _ask(command: NewRun, missing: Items, known: KnownReferences) -> float:
    """Ask the pivot for the missing references, and return the seconds that it took to answer.

    Raises:
        RunFailed: its workers could not load their model, or gave up, or their references could not be written.
    """

    async def ask(team: Team) -> float:
        await team.start_pivot()
        store = ReferenceStore(
            pivot=team.pivot, prompt=known.prompt, sampling=known.sampling, cache=known.cache, counts=known.counts
        )
        started, stop = time.monotonic(), StopRequest()
        with (
            stopping_on_sigterm(
                stop,
                grace_s=command.config.checkpoint.grace_s,
                last_work="saving the references that were answered",
                on_signal=command.console.note,
            ),
            suppress(Stopped),  # what was answered is kept; the same command asks for the rest
            command.console.phase("asking for references", total=len(missing)) as done,
        ):
            await stop.before(ask_for(missing, store, num_in_flight=num_at_once, on_progress=done))
        return time.monotonic() - started

    with command.cluster() as layout:
        num_at_once = num_in_flight(with_device_defaults(command.config, layout.device).pivot)
        asking_s = command.on_team(layout, ask)
    if known.cache.num_unsaved:
        folder = command.config.pivot.cache
        raise RunFailed(
            f"{known.cache.num_unsaved} references could not be written to {folder}: free some space, then run the "
            "same command again",
            key="pivot.cache",
        )
    return asking_s


_ADVICE = {
    "truncated": "not used; raise pivot.max_response_tokens",
    "undecided": "not used; lower pivot.min_agreement, or take a better pivot",
}
"""What may be wrong with references that were answered, and what to do."""


def _summary(
    inputs: ReferenceInputs, contents: CacheContents, known: KnownReferences, *, asking_s: float
) -> dict[str, object]:
    """Count all items: those that were found in the cache count in everything but `tokens_per_s`."""
    counts = known.counts
    return {
        "data": inputs.items.source.name,
        "items": len(inputs.items),
        "found": contents.num_found,
        "asked": counts.answered,
        "too_long": len(contents.refused),
        "truncated": counts.truncated,
        "undecided": counts.undecided,
        "accuracy": counts.correct / counts.with_gold if counts.with_gold else None,
        "with_gold": counts.with_gold,
        "tokens": counts.tokens,
        "tokens_per_s": round(counts.tokens / asking_s, 1) if asking_s else None,
        "first_refusal": contents.refused[0] if contents.refused else None,
    }


def _headline(summary: dict[str, object]) -> str:
    parts = [f"{summary['items']} items", f"{summary['found']} found", f"{summary['asked']} asked for"]
    parts += [f"{summary[name]} {name} ({advice})" for name, advice in _ADVICE.items() if summary[name]]
    if summary["too_long"]:
        parts.append(f"{summary['too_long']} that are too long for the pivot ({summary['first_refusal']})")
    if summary["accuracy"] is not None:
        parts.append(f"accuracy {summary['accuracy']:.1%} of {summary['with_gold']} with a known answer")
    if summary["tokens_per_s"] is not None:
        parts.append(f"{summary['tokens_per_s']:,.0f} tokens/s")
    return f"references: {', '.join(parts)}"
