"""Measure the computing time that the reward's rules take for each text: reading, answers and all gates.

    python -m benchmarks.rules_time FILE.jsonl [FILE.jsonl ...]

The files have the shape of `audit.outputs` (docs/rewards.md). Each response is read and judged as a scorer does it, in
this process, which is warm, and once: gates remember sentences. Time is that of the processor and not the clock's, so
that other work beside it counts little. A row holds the texts of a length; the table is Markdown.
"""

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, quantiles

from rich.console import Console
from rich.progress import track

from contracts.config.reward import GatesConfig
from contracts.config.workers import PolicyConfig
from contracts.rollouts import ScoreRequest
from driver.audit.outputs.read import read_outputs, requests_of
from languages.facts import LANGUAGES
from rewards.answers.final import same_answer
from rewards.gates.gates import Gate, build_gates
from rewards.reading import read_group

BOUNDS = (0, 200, 400, 600, 800, 1200, 2400, 1 << 30)
"""Lengths in characters at which the table's rows begin and end."""
WARMING = 20
"""One group in as many is judged before, and not measured."""
UNIT = 700
"""Characters of the text that the aim speaks of: at most 3 ms of one core."""


def requests(files: Sequence[Path]) -> list[ScoreRequest]:
    """Return the outputs of the files as a scorer is asked to judge them."""
    markers = PolicyConfig.model_fields["thinking_markers"].default
    outputs = [output for file in files for output in read_outputs(file, markers=markers)]
    return [request for _, request in requests_of(outputs)]


def judge(request: ScoreRequest, gates: Sequence[Gate]) -> tuple[int, float]:
    """Judge a group by rules. Return the characters of its responses, and the seconds of the processor."""
    started = time.process_time()
    for reading in read_group(request):
        if reading.answer is not None and reading.task.reference_answer is not None:
            same_answer(reading.answer, reading.task.reference_answer)
        for gate in gates:
            gate.is_open(reading)
    seconds = time.process_time() - started
    return sum(map(len, request.responses)), seconds


def table(measured: Sequence[tuple[int, int, float]]) -> list[str]:
    """Return the rows of the table; each measurement has responses, characters and seconds of a group."""
    lines = [
        f"| characters | texts | ms a text, mean | 95th percentile | ms per {UNIT} characters |",
        "|---|---|---|---|---|",
    ]
    for low, high in pairwise(BOUNDS):
        rows = [row for row in measured if low <= row[1] / row[0] < high]
        if len(rows) < 2:
            continue
        texts, characters = (sum(column) for column in list(zip(*rows, strict=True))[:2])
        each = [1000 * seconds / number for number, _, seconds in rows]
        total = 1000 * sum(seconds for *_, seconds in rows)
        name = f"{low} to {high - 1}" if high < BOUNDS[-1] else f"{low} and more"
        worst = quantiles(each, n=20)[-1]
        lines.append(f"| {name} | {texts} | {fmean(each):.2f} | {worst:.2f} | {total / characters * UNIT:.2f} |")
    return lines


def main() -> None:
    """Print the table, with the progress on the error output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    band = GatesConfig()
    gates = build_gates(
        tuple(LANGUAGES), min_length_ratio=band.min_length_ratio, max_length_ratio=band.max_length_ratio
    )
    asked = requests(parser.parse_args().files)
    for request in asked[::WARMING]:
        judge(request, gates)  # lingua loads a language's statistics at first use
    del asked[::WARMING]
    measured: list[tuple[int, int, float]] = []
    for request in track(asked, console=Console(stderr=True)):
        characters, seconds = judge(request, gates)
        measured.append((len(request.responses), characters, seconds))
    print("\n".join(table(measured)))


if __name__ == "__main__":
    main()
