"""Which samples lie in which row: first-fit decreasing under a budget of tokens, then evened out over the ranks.

Owns the arithmetic of lengths, of samples that share a prompt too. Pure: must not know what a sample is, nor numpy. The
same lengths in the same order give the same rows. First-fit decreasing never needs more than 11/9 of the fewest rows,
and one more (Dósa 2007); with shared prompts no such bound is claimed.
"""

from collections import Counter
from collections.abc import Sequence
from heapq import heapify, heapreplace
from typing import NamedTuple


class Demand(NamedTuple):
    """What a sample takes of a row: its response, and its prompt where the row doesn't have it yet."""

    prompt: int  # the same number for the same prompt
    prompt_tokens: int
    response_tokens: int

    @property
    def tokens(self) -> int:
        """Of the sample alone."""
        return self.prompt_tokens + self.response_tokens


def assign_rows(lengths: list[int], *, num_ranks: int, row_tokens: int) -> list[list[int]]:
    """Indices of the samples of each row. First-fit decreasing says how few rows will do; they are then evened out.

    Even rows need no dummies: their number is rounded up to a multiple of the ranks, as far as there are samples. Where
    evening out would break the budget, rows stay as first-fit decreasing fills them: nearly full, but for the last.
    """
    rows = first_fit_decreasing(lengths, row_tokens=row_tokens)
    even = emptiest_first(lengths, num_rows=_num_even(rows, len(lengths), num_ranks))
    if max(sum(lengths[index] for index in members) for members in even) <= row_tokens:
        return even
    return rows


def assign_sharing(demands: Sequence[Demand], *, num_ranks: int, row_tokens: int) -> list[list[int]]:
    """As `assign_rows`, for samples that have a prompt in common with others of their row.

    Samples of one prompt stay together, except where a row would overflow or ranks would wait for each other: each
    further row that one of them lies in computes the prompt once more.
    """
    rows = first_fit_sharing(demands, row_tokens=row_tokens)
    even = even_sharing(demands, num_rows=_num_even(rows, len(demands), num_ranks))
    if max(row_length(demands, members) for members in even) <= row_tokens:
        return even
    return rows


def row_length(demands: Sequence[Demand], members: Sequence[int]) -> int:
    """Tokens of a row of these samples: every response, and every prompt once."""
    prompts = {demands[index].prompt: demands[index].prompt_tokens for index in members}
    return sum(prompts.values()) + sum(demands[index].response_tokens for index in members)


def first_fit_decreasing(lengths: list[int], *, row_tokens: int) -> list[list[int]]:
    """Longest sample first, each into the first row with room for it: O(n log n)."""
    rooms = _Rooms(len(lengths), row_tokens=row_tokens)
    rows: list[list[int]] = []
    for index in _longest_first(lengths):
        row = rooms.first_with(lengths[index])
        rooms.use(row, lengths[index])
        if row == len(rows):
            rows.append([])
        rows[row].append(index)
    return rows


def first_fit_sharing(demands: Sequence[Demand], *, row_tokens: int) -> list[list[int]]:
    """The prompt with most to compute first; the first row with room for its longest sample takes all that it can."""
    rooms = _Rooms(len(demands), row_tokens=row_tokens)
    rows: list[list[int]] = []
    for left in _prompts(demands):
        while left:
            row = rooms.first_with(demands[left[0]].tokens)
            rooms.use(row, demands[left[0]].prompt_tokens)
            if row == len(rows):
                rows.append([])
            is_taken = {index: rooms.use_if_free(row, demands[index].response_tokens) for index in left}
            rows[row] += [index for index in left if is_taken[index]]
            left = [index for index in left if not is_taken[index]]
    return rows


def emptiest_first(lengths: list[int], *, num_rows: int) -> list[list[int]]:
    """Longest sample first, each to the row with the fewest tokens so far."""
    rows: list[list[int]] = [[] for _ in range(num_rows)]
    filled = [(0, row) for row in range(num_rows)]
    heapify(filled)
    for index in _longest_first(lengths):
        tokens, row = filled[0]
        rows[row].append(index)
        heapreplace(filled, (tokens + lengths[index], row))
    return rows


def even_sharing(demands: Sequence[Demand], *, num_rows: int) -> list[list[int]]:
    """Whole prompts to the emptiest row, then sample by sample from the fullest to the emptiest while that helps.

    At most `num_rows` rows, none of them empty. It ends: a move leaves both rows shorter than the fuller one was, and a
    row that none of its samples can leave in this way is done with.
    """
    clusters = _prompts(demands)
    lengths = [row_length(demands, cluster) for cluster in clusters]
    rows = [
        _SharingRow(demands, [index for cluster in members for index in clusters[cluster]])
        for members in emptiest_first(lengths, num_rows=num_rows)
    ]
    moving = list(rows)
    while len(moving) > 1:
        fullest, emptiest = max(moving, key=lambda row: row.tokens), min(moving, key=lambda row: row.tokens)
        after = {index: max(fullest.without(index), emptiest.together_with(index)) for index in fullest.members}
        chosen = min(after, key=lambda index: (after[index], index), default=-1)
        if chosen == -1 or fullest is emptiest or after[chosen] >= fullest.tokens:
            moving.remove(fullest)
        else:
            fullest.give(chosen)
            emptiest.take(chosen)
    return [row.members for row in rows if row.members]


def _num_even(rows: list[list[int]], num_samples: int, num_ranks: int) -> int:
    return min(len(rows) + -len(rows) % num_ranks, num_samples)


def _longest_first(lengths: list[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def _prompts(demands: Sequence[Demand]) -> list[list[int]]:
    """The samples of each prompt, longest first; the prompt with the most tokens in all first."""
    clusters: dict[int, list[int]] = {}
    for index in _longest_first([demand.response_tokens for demand in demands]):
        clusters.setdefault(demands[index].prompt, []).append(index)
    return sorted(clusters.values(), key=lambda members: (-row_length(demands, members), min(members)))


class _SharingRow:
    """A row in the making."""

    def __init__(self, demands: Sequence[Demand], members: list[int]) -> None:
        self._demands = demands
        self.members = members
        self.tokens = row_length(demands, members)
        self._prompts = Counter(demands[index].prompt for index in members)

    def without(self, index: int) -> int:
        """Its length if the sample, one of its own, left."""
        demand = self._demands[index]
        return self.tokens - demand.response_tokens - (self._prompts[demand.prompt] == 1) * demand.prompt_tokens

    def together_with(self, index: int) -> int:
        """Its length if the sample came."""
        demand = self._demands[index]
        return self.tokens + demand.response_tokens + (not self._prompts[demand.prompt]) * demand.prompt_tokens

    def give(self, index: int) -> None:
        self.tokens = self.without(index)
        self._prompts[self._demands[index].prompt] -= 1
        self.members.remove(index)

    def take(self, index: int) -> None:
        self.tokens = self.together_with(index)
        self._prompts[self._demands[index].prompt] += 1
        self.members.append(index)


class _Rooms:
    """What is still free in each row, as a tree of maxima: the first row with room is found from the top down."""

    def __init__(self, num_rows: int, *, row_tokens: int) -> None:
        """`num_rows` empty rows; one a sample always suffices."""
        self._num_leaves = 1 << max(0, num_rows - 1).bit_length()
        self._most = [row_tokens] * (2 * self._num_leaves)  # node n has the children 2n and 2n + 1; leaves come last

    def first_with(self, num_tokens: int) -> int:
        """The first row that has so much room."""
        assert num_tokens <= self._most[1], f"no row has room for {num_tokens} tokens"
        node = 1
        while node < self._num_leaves:
            node = 2 * node if self._most[2 * node] >= num_tokens else 2 * node + 1
        return node - self._num_leaves

    def use(self, row: int, num_tokens: int) -> None:
        """Use up room in a row that has it."""
        node = row + self._num_leaves
        self._most[node] -= num_tokens
        while node > 1:
            node //= 2
            self._most[node] = max(self._most[2 * node], self._most[2 * node + 1])

    def use_if_free(self, row: int, num_tokens: int) -> bool:
        """Use up room in a row, where it has it; whether it had."""
        is_free = num_tokens <= self._most[row + self._num_leaves]
        if is_free:
            self.use(row, num_tokens)
        return is_free
