"""Sampling seeds: a pure function of what is drawn, so no two engines draw the same and a restart draws it again."""

import hashlib


def sampling_seeds(run_seed: int, *key: str | int, num: int) -> tuple[int, ...]:
    """`num` seeds in [0, 2^63), one per sample of whatever `key` names (e.g. step, item, language)."""
    return tuple(_digest(run_seed, *key, index) for index in range(num))


def _digest(*parts: str | int) -> int:
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
