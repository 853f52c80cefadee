"""Measure how a reference cache of a million rows is opened in a fresh process, and how single references are read.

The cache is written as runs leave one: files that were merged up to a size, and small files that were not merged yet.
"""

import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.machine import in_fresh_process, resident_mib, say
from benchmarks.measure import Sizes
from benchmarks.outcomes import Figure
from driver.references.cache import ReferenceCache
from driver.references.files import ROWS_PER_GROUP, SCHEMA, write_file
from driver.references.merge import FILES_TO_MERGE, MAX_MERGED_ROWS

NUM_ROWS = 1_000_000
TEXT_WORDS = 170
"""Words of a reference: about 1,100 characters."""
NUM_LOOKUPS = 1000
ALLOWED_S = 5.0
ALLOWED_MIB = 500.0


def run(sizes: Sizes) -> list[Figure]:
    """Write the cache once, and open it in fresh processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = _write_cache(folder)
        num_files, num_bytes = len(list(folder.iterdir())), sum(file.stat().st_size for file in folder.iterdir())
        tries = [in_fresh_process(_open, folder, keys) for _ in range(sizes.rounds)]
    work = f"{NUM_ROWS:,} references in {num_files} files, {num_bytes >> 20} MiB, files in the system's memory"
    for opened_s, mib, lookup_s in tries:
        say(f"opened in {opened_s:.2f} s, {mib:.0f} MiB beyond imports, {1000 * lookup_s:.2f} ms a random reference")
    measured = (
        (
            "cache, seconds",
            f"{ALLOWED_S:g} s over the seconds that opening takes in a fresh process, imports left out",
            tuple(ALLOWED_S / opened_s for opened_s, _, _ in tries),
        ),
        (
            "cache, memory",
            f"{ALLOWED_MIB:g} MiB over the most that the process held beyond its imports, with {NUM_LOOKUPS:,} random "
            "references read",
            tuple(ALLOWED_MIB / mib for _, mib, _ in tries),
        ),
        (
            "cache, reading",
            "10 ms over the mean time to read one random reference",
            tuple(0.01 / lookup_s for _, _, lookup_s in tries),
        ),
    )
    return [Figure(name=name, what=what, values=values, aim=1.0, work=work) for name, what, values in measured]


def _write_cache(folder: Path) -> list[str]:
    """Write all files of the cache. Return the keys of some of its references."""
    shuffled = random.Random(1)
    words = ["".join(shuffled.choices("abcdefghijklmnop", k=shuffled.randint(2, 9))) for _ in range(3000)]
    texts = [" ".join(shuffled.choices(words, k=TEXT_WORDS)) for _ in range(4 * ROWS_PER_GROUP)]
    keys: list[bytes] = []
    small = [rows for rows in (1, FILES_TO_MERGE, FILES_TO_MERGE**2) for _ in range(FILES_TO_MERGE - 1)]
    large, rest = divmod(NUM_ROWS - sum(small), MAX_MERGED_ROWS)
    for num_rows in [MAX_MERGED_ROWS] * large + [rest, *small]:
        write_file(folder, _groups(num_rows, texts, shuffled, keys))
    return [key.hex() for key in shuffled.sample(keys, NUM_LOOKUPS)]


def _groups(num_rows: int, texts: list[str], shuffled: random.Random, keys: list[bytes]) -> Iterator[pa.Table]:
    """Yield row groups of new references, and add the first keys of each to `keys`."""
    for start in range(0, num_rows, ROWS_PER_GROUP):
        num = min(ROWS_PER_GROUP, num_rows - start)
        drawn = [shuffled.randbytes(16) for _ in range(num)]
        keys += drawn[:8]
        at = shuffled.randrange(len(texts) - num + 1)
        yield pa.table(
            {
                "key": drawn,
                "item_id": [f"item-{start + row}" for row in range(num)],
                "text": [f"{text} {start + row}" for row, text in enumerate(texts[at : at + num])],
                "num_tokens": np.full(num, 256),
                "verdict": ["accepted"] * num,
                "num_votes": np.full(num, 1),
                "num_drawn": np.full(num, 1),
            },
            schema=SCHEMA,
        )


def _open(folder: Path, keys: list[str]) -> tuple[float, float, float]:
    """Return the s to open, the most MiB held beyond the imports, and the s to read one reference."""
    imported = resident_mib()
    started = time.perf_counter()
    cache = ReferenceCache(folder)
    opened = time.perf_counter()
    if missing := [key for key in keys if cache.get(key) is None]:
        raise ValueError(f"{len(missing)} of {len(keys)} references were not found again")
    read = time.perf_counter()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return opened - started, most - imported, (read - opened) / len(keys)
