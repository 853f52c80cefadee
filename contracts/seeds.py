"""Compute sampling seeds from what is sampled: no two engines sample the same, and a restarted one samples it again."""

import hashlib


def sampling_seeds(run_seed: int, *key: str | int, num: int) -> tuple[int, ...]:
    """Return `num` seeds in [0, 2^63), one for each sample of what `key` names (e.g. draw, item, language)."""
    return tuple(_digest(run_seed, *key, index) for index in range(num))


def _digest(*parts: str | int) -> int:
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def stable_hash(text: str) -> int:
    """Return a hash in [0, 2^64) that is the same on every machine and in every process, unlike Python's own."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
