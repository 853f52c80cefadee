"""Make references and caches for the tests of the reference cache."""

import hashlib
from pathlib import Path

from contracts.rollouts import Reference
from driver.references.cache import ReferenceCache


def key(name: object) -> str:
    return hashlib.blake2b(str(name).encode(), digest_size=16).hexdigest()


def reference(name: object = "k") -> Reference:
    return Reference(
        item_id=f"item {name}",
        key=key(name),
        text=f"The answer is {name}. ไทย",
        num_tokens=6,
        verdict="accepted",
        num_votes=2,
        num_drawn=3,
    )


def filled(folder: Path, *names: object) -> ReferenceCache:
    """Return a cache that has saved these references as one file."""
    cache = ReferenceCache(folder)
    for name in names:
        cache.add(reference(name))
    cache.save()
    return cache


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))
