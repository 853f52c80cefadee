"""One process for each benchmark: Ray and the engines leave threads, environments and memory behind."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

from benchmarks.measure import Outcome, Sizes
from cluster.environment import prepare_process


def say(message: str) -> None:
    """To whoever waits; the results alone go to standard output."""
    print(message, file=sys.stderr, flush=True)


def in_fresh_process(name: str, sizes: Sizes) -> list[Outcome]:
    """What `benchmarks.<name>.run` gives back."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_run, name, sizes).result()


def _run(name: str, sizes: Sizes) -> list[Outcome]:
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries that print must not mix with the results
    prepare_process()
    return import_module(f"benchmarks.{name}").run(sizes)
