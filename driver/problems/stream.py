"""The order of a run: an endless, seeded stream of problems that takes the languages in turn and can be resumed.

Owns which problem is the n-th. The n-th is computed from n alone: nothing is held but the position, and a stream that
is put back at n goes on exactly as one that never stopped. Must not know where problems are kept.

Every language walks through all its problems, then again in another order: an epoch is a permutation, computed element
by element by a Feistel network, so its cost does not grow with the set. Languages of one size share it, so that in a
parallel set they visit an item together and share its reference.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypedDict

from driver.errors import BadInput
from driver.problems.sources import ProblemSource
from driver.schema import Problem

_ROUNDS = 6


class StreamState(TypedDict):
    """What a checkpoint keeps of a stream; plain JSON."""

    position: int  # problems drawn so far
    seed: int
    languages: list[str]
    fingerprint: str  # of the source


class ProblemStream:
    """An iterator over problems, without an end."""

    def __init__(self, source: ProblemSource, *, languages: Sequence[str], seed: int) -> None:
        self._source = source
        self._languages = tuple(languages)
        self._seed = seed
        self._sizes = [source.counts[language] for language in languages]
        self._position = 0

    def __iter__(self) -> "ProblemStream":
        return self

    def __next__(self) -> Problem:
        problem = self.at(self._position)
        self._position += 1
        return problem

    def at(self, position: int) -> Problem:
        """The problem at a position of the stream, counted from 0; the stream stays where it is."""
        draw, turn = divmod(position, len(self._languages))
        language, size = self._languages[turn], self._sizes[turn]
        epoch, index = divmod(draw, size)
        return self._source.problem(language, permuted(index, size, key=f"{self._seed}/{epoch}"))

    def state(self) -> StreamState:
        return {
            "position": self._position,
            "seed": self._seed,
            "languages": list(self._languages),
            "fingerprint": self._source.fingerprint,
        }

    def restore(self, state: StreamState) -> None:
        """Go on where `state` was taken.

        Raises:
            BadInput: the order has changed since: another seed, other languages, other problems.
        """
        now = self.state()
        if state["fingerprint"] != now["fingerprint"]:
            raise BadInput(
                f"{self._source.name} is not what the checkpoint was made with: problems have changed; put them back, "
                "or start a run of another name"
            )
        for key, was, is_now in (
            ("run.seed", state["seed"], now["seed"]),
            ("data.languages", state["languages"], now["languages"]),
        ):
            if was != is_now:
                raise BadInput(
                    f"{key} was {was} at the checkpoint and is {is_now} now; set it back, or start a new run"
                )
        self._position = state["position"]


def permuted(index: int, size: int, *, key: str) -> int:
    """Where a keyed permutation of range(size) sends `index`: O(1) memory, a few microseconds.

    A balanced Feistel network permutes the next power of four; a result outside the range is sent through again until
    it is inside (on average fewer than four times), which keeps the map one to one.
    """
    if not 0 <= index < size:
        raise ValueError(f"index {index} is not in range({size})")
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half_bits) - 1
    secret = blake2b(key.encode(), digest_size=32).digest()
    while True:
        left, right = index >> half_bits, index & mask
        for number in range(_ROUNDS):
            mixed = blake2b(bytes((number,)) + right.to_bytes(8), key=secret, digest_size=8).digest()
            left, right = right, left ^ (int.from_bytes(mixed) & mask)
        index = left << half_bits | right
        if index < size:
            return index
