"""Draw problems in the order of a run: an endless, seeded stream that takes the languages in turn and can be resumed.

The state is only how far each language has come, and what a curriculum remembers. A restored stream therefore goes on
exactly as one that never stopped.

Every language walks through all its problems, then again in another order: an epoch is a permutation, computed element
by element by a Feistel network, so its cost does not grow with the set. Languages of one size share it, so that in a
parallel set they visit an item together and share its reference. The languages' shares decide whose turn it is. A draw
may also be asked for in one language, to replace a group of it that taught nothing: it takes that language's next
problem and no turn, so that the groups that are learned from keep the shares. A curriculum passes over some problems.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from hashlib import blake2b
from typing import TypedDict

from contracts.errors import BadInput
from contracts.rollouts import Problem, PromptDraw
from driver.problems.curriculum import Curriculum
from driver.problems.sources import ProblemSource
from driver.problems.turns import Turns

_ROUNDS = 6


class DrawState(TypedDict):
    """Hold what is needed to make a draw again, as plain JSON."""

    number: int
    language: str
    place: int  # the draw's epoch_index


class StreamState(TypedDict):
    """The state of a stream that a checkpoint keeps, as plain JSON."""

    number: int  # of the next draw
    places: dict[str, int]  # next epoch_index of each language
    turns: dict[str, int]  # how many each language has had
    seed: int
    languages: list[str]
    shares: list[int]  # in lowest terms
    fingerprint: str  # of the source
    curriculum: dict[str, str]  # empty without one


class ProblemStream:
    """Draw problems without an end."""

    def __init__(
        self,
        source: ProblemSource,
        *,
        languages: Sequence[str],
        seed: int,
        shares: Sequence[float] = (),
        curriculum: Curriculum | None = None,
    ) -> None:
        """Start with the first draw; `shares` is in the order of `languages`, and all have the same without it.

        Raises:
            BadInput: `shares` has not one number above 0 for each language.
        """
        self._source = source
        self._sizes = {language: source.counts[language] for language in languages}
        self._seed = seed
        self._turns = Turns(languages, shares)
        self._curriculum = curriculum
        self._number = 0
        self._places = dict.fromkeys(languages, 0)
        self._passed_over = 0

    def draw(self, language: str = "") -> PromptDraw:
        """Return the next draw: of the language whose turn it is, or of `language`, which then keeps its turn."""
        language = language or self._turns.take()
        place = self._next_place(language)
        draw = self.again({"number": self._number, "language": language, "place": place})
        self._places[language] = place + 1
        self._number += 1
        return draw

    def again(self, state: DrawState) -> PromptDraw:
        """Return a draw that was made before; the stream does not move."""
        language, place = state["language"], state["place"]
        problem = self._source.problem(language, self._position(language, place))
        return PromptDraw(number=state["number"], epoch_index=place, problem=problem)

    def upcoming(self, last_turn: int, *, num_replacements: int = 0) -> Iterator[Problem]:
        """Yield the problems that the draws until a turn can give; the stream does not move.

        Args:
            last_turn: how many turns all languages together will have had, from the first draw of the run on.
            num_replacements: further draws, of any language. With a curriculum no one knows which problems they pass
                over: then all problems are yielded.
        """
        turns = deepcopy(self._turns)
        num_taken = sum(turns.state().values())
        counts = Counter(turns.take() for _ in range(last_turn - num_taken))
        for language, size in self._sizes.items():
            num, place = counts[language] + num_replacements, self._places[language]
            if self._curriculum is not None or num >= size:
                positions = iter(range(size))
            else:
                positions = (self._position(language, place + number) for number in range(num))
            for position in positions:
                yield self._source.problem(language, position)

    def saw(self, draw: PromptDraw, success_rate: float) -> None:
        """Tell the curriculum how often the responses to a draw agreed with the pivot's answer, in [0, 1]."""
        if self._curriculum is not None:
            language = draw.problem.language
            self._curriculum.saw(language, self._position(language, draw.epoch_index), success_rate)

    def take_passed_over(self) -> int:
        """Return how many problems the curriculum passed over since the last call."""
        taken, self._passed_over = self._passed_over, 0
        return taken

    def state(self) -> StreamState:
        """Return the state from which `restore` goes on."""
        return {
            "number": self._number,
            "places": dict(self._places),
            "turns": self._turns.state(),
            "seed": self._seed,
            "languages": list(self._places),
            "shares": self._turns.weights,
            "fingerprint": self._source.fingerprint,
            "curriculum": self._curriculum.state() if self._curriculum is not None else {},
        }

    def restore(self, state: StreamState) -> None:
        """Go on where `state` was taken.

        Raises:
            BadInput: the order has changed: another seed, other languages or shares, or other problems.
        """
        if state["fingerprint"] != self._source.fingerprint:
            raise BadInput(
                f"{self._source.name} has other problems than the checkpoint was made with; put them back, or start a "
                "run of another name",
                key="data.path",
            )
        for key, was, is_now in (
            ("run.seed", state["seed"], self._seed),
            ("data.languages", state["languages"], list(self._places)),
            ("data.shares", state["shares"], self._turns.weights),
        ):
            if was != is_now:
                raise BadInput(
                    f"{key} was {was} at the checkpoint and is {is_now} now; set it back, or start a new run", key=key
                )
        self._number = state["number"]
        self._places = {language: state["places"][language] for language in self._places}
        self._turns.restore(state["turns"])
        if self._curriculum is not None:
            self._curriculum.restore(state["curriculum"])

    def _next_place(self, language: str) -> int:
        """Return the language's next epoch index whose problem is not passed over.

        If a whole epoch is passed over, the index after it is returned.
        """
        place = self._places[language]
        if self._curriculum is None:
            return place
        end = place + self._sizes[language]
        while place < end and not self._curriculum.keeps(language, self._position(language, place), epoch_index=place):
            place += 1
        self._passed_over += place - self._places[language]
        return place

    def _position(self, language: str, place: int) -> int:
        """Return the position in the source of the problem at an epoch index of the language."""
        epoch, index = divmod(place, self._sizes[language])
        return permuted(index, self._sizes[language], key=f"{self._seed}/{epoch}")


def state_of(draw: PromptDraw) -> DrawState:
    """Return the state from which `ProblemStream.again` makes the draw again."""
    return {"number": draw.number, "language": draw.problem.language, "place": draw.epoch_index}


def first_draws(stream: ProblemStream, num: int) -> list[PromptDraw]:
    """Return the next `num` draws of a stream."""
    return [stream.draw() for _ in range(num)]


def permuted(index: int, size: int, *, key: str) -> int:
    """Return where a keyed permutation of range(size) maps `index`, in O(1) memory and a few microseconds.

    A balanced Feistel network permutes the next power of four. A result outside the range is permuted again
    until it is inside (on average fewer than four times), which keeps the map one to one.

    Raises:
        ValueError: `index` is outside range(size).
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
