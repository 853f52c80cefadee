"""Assign samples to rows by length: first-fit decreasing under a budget of tokens, then evened out over the ranks.

Pure arithmetic of lengths, also for samples that share a prompt. The same lengths in the same order give the same rows.
First-fit decreasing needs at most 11/9 of the fewest possible rows, plus one (Dósa 2007: 11/9 OPT + 6/9). With shared
prompts no such bound is known.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace
from typing import NamedTuple


class Demand(NamedTuple):
    """Say how many tokens of a row a sample needs: its response, and its prompt if the row does not have it yet."""

    prompt: int  # equal numbers mean equal prompts
    prompt_tokens: int
    response_tokens: int

    @property
    def tokens(self) -> int:
        """Return the number of tokens of the sample in a row of its own."""
        return self.prompt_tokens + self.response_tokens

    def cut_to(self, budget: int) -> "Demand":
        """Return the demand of a sample that fills a row of `budget` tokens, if the sample itself is longer."""
        return self._replace(response_tokens=min(self.response_tokens, budget - self.prompt_tokens))


def assign_rows(lengths: list[int], *, num_ranks: int, row_tokens: int) -> list[list[int]]:
    """Return the indices of the samples of each row. `lengths` are in tokens.

    First-fit decreasing gives the number of rows, which is rounded up to a multiple of the ranks, as far as there are
    samples, so that no dummy rows are needed. Then the samples are dealt evenly to so many rows. If that would break
    the budget of `row_tokens`, first-fit decreasing fills them, under the lowest budget for which they are enough.
    """

    def filled(budget: int) -> list[list[int]]:
        return first_fit_decreasing([min(length, budget) for length in lengths], row_tokens=budget)

    rows = filled(row_tokens)
    num_rows = _num_even(rows, len(lengths), num_ranks)
    even = emptiest_first(lengths, num_rows=num_rows)
    if max(sum(lengths[index] for index in members) for members in even) <= row_tokens:
        return even
    return _evened(rows, filled, num_rows=num_rows, least=1, most=row_tokens)


def assign_sharing(demands: Sequence[Demand], *, num_ranks: int, row_tokens: int) -> list[list[int]]:
    """Return the indices of the samples of each row, as `assign_rows` does, for samples that share prompts in a row.

    Samples of one prompt stay together, unless a row would overflow or ranks would wait for each other. Each additional
    row with a sample of the prompt computes the prompt once more.
    """

    def filled(budget: int) -> list[list[int]]:
        return first_fit_sharing([demand.cut_to(budget) for demand in demands], row_tokens=budget)

    rows = filled(row_tokens)
    num_rows = _num_even(rows, len(demands), num_ranks)
    even = even_sharing(demands, num_rows=num_rows)
    if max(row_length(demands, members) for members in even) <= row_tokens:
        return even
    longest_prompt = max(demand.prompt_tokens for demand in demands)
    return _evened(rows, filled, num_rows=num_rows, least=longest_prompt + 1, most=row_tokens)


def row_length(demands: Sequence[Demand], members: Sequence[int]) -> int:
    """Return the number of tokens of a row of these samples: every response, and every prompt once."""
    prompts = {demands[index].prompt: demands[index].prompt_tokens for index in members}
    return sum(prompts.values()) + sum(demands[index].response_tokens for index in members)


def first_fit_decreasing(lengths: list[int], *, row_tokens: int) -> list[list[int]]:
    """Return rows filled longest sample first, each into the first row with room for it, in O(n log n)."""
    free = _FreeTokens(len(lengths), row_tokens=row_tokens)
    rows: list[list[int]] = []
    for index in _longest_first(lengths):
        row = free.first_with(lengths[index])
        free.use(row, lengths[index])
        if row == len(rows):
            rows.append([])
        rows[row].append(index)
    return rows


def first_fit_sharing(demands: Sequence[Demand], *, row_tokens: int) -> list[list[int]]:
    """Return rows filled prompt by prompt, the one with most tokens first.

    The first row with room for the prompt's longest sample takes as many of its samples as fit.
    """
    free = _FreeTokens(len(demands), row_tokens=row_tokens)
    rows: list[list[int]] = []
    for left in _prompts(demands):
        while left:
            row = free.first_with(demands[left[0]].tokens)
            free.use(row, demands[left[0]].prompt_tokens)
            if row == len(rows):
                rows.append([])
            is_taken = {index: free.use_if_free(row, demands[index].response_tokens) for index in left}
            rows[row] += [index for index in left if is_taken[index]]
            left = [index for index in left if not is_taken[index]]
    return rows


def emptiest_first(lengths: list[int], *, num_rows: int) -> list[list[int]]:
    """Return `num_rows` rows filled longest sample first, each into the row with the fewest tokens so far."""
    rows: list[list[int]] = [[] for _ in range(num_rows)]
    filled = [(0, row) for row in range(num_rows)]
    heapify(filled)
    for index in _longest_first(lengths):
        tokens, row = filled[0]
        rows[row].append(index)
        heapreplace(filled, (tokens + lengths[index], row))
    return rows


def even_sharing(demands: Sequence[Demand], *, num_rows: int) -> list[list[int]]:
    """Return at most `num_rows` rows, none of them empty, as even as moves of single samples make them.

    Whole prompts go to the emptiest row first. Then single samples move from the fullest to the emptiest row as long as
    that helps. This ends: a move leaves both rows shorter than the fuller one was, and a row that no sample can leave
    in this way is not considered again.
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
        after = {index: max(fullest.without(index), emptiest.with_added(index)) for index in fullest.members}
        chosen = min(after, key=lambda index: (after[index], index), default=-1)
        if chosen == -1 or fullest is emptiest or after[chosen] >= fullest.tokens:
            moving.remove(fullest)
        else:
            fullest.remove(chosen)
            emptiest.add(chosen)
    return [row.members for row in rows if row.members]


def _num_even(rows: list[list[int]], num_samples: int, num_ranks: int) -> int:
    return min(len(rows) + -len(rows) % num_ranks, num_samples)


def _evened(
    rows: list[list[int]], filled: Callable[[int], list[list[int]]], *, num_rows: int, least: int, most: int
) -> list[list[int]]:
    """Return rows as `filled` gives them under the lowest budget in [least, most] that needs at most `num_rows`.

    `rows` are those of the budget `most`; if they are `num_rows` already, they stay. A sample that is longer than the
    budget has a row of its own. This is MULTIFIT (Coffman, Garey and Johnson 1978): it bisects the budget, though a
    lower one may by chance need fewer rows.
    """
    if len(rows) == num_rows:
        return rows
    while least < most:
        budget = (least + most) // 2
        if len(found := filled(budget)) <= num_rows:
            rows, most = found, budget
        else:
            least = budget + 1
    return rows


def _longest_first(lengths: list[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def _prompts(demands: Sequence[Demand]) -> list[list[int]]:
    """Return the samples of each prompt, longest first; the prompt with the most tokens in total comes first."""
    clusters: dict[int, list[int]] = {}
    for index in _longest_first([demand.response_tokens for demand in demands]):
        clusters.setdefault(demands[index].prompt, []).append(index)
    return sorted(clusters.values(), key=lambda members: (-row_length(demands, members), min(members)))


class _SharingRow:
    """Keep a row and its length while samples are moved."""

    def __init__(self, demands: Sequence[Demand], members: list[int]) -> None:
        self._demands = demands
        self.members = members
        self.tokens = row_length(demands, members)
        self._prompts = Counter(demands[index].prompt for index in members)

    def without(self, index: int) -> int:
        """Return the length of the row without one of its samples."""
        demand = self._demands[index]
        return self.tokens - demand.response_tokens - (self._prompts[demand.prompt] == 1) * demand.prompt_tokens

    def with_added(self, index: int) -> int:
        """Return the length of the row with one more sample."""
        demand = self._demands[index]
        return self.tokens + demand.response_tokens + (not self._prompts[demand.prompt]) * demand.prompt_tokens

    def remove(self, index: int) -> None:
        """Remove a sample."""
        self.tokens = self.without(index)
        self._prompts[self._demands[index].prompt] -= 1
        self.members.remove(index)

    def add(self, index: int) -> None:
        """Add a sample."""
        self.tokens = self.with_added(index)
        self._prompts[self._demands[index].prompt] += 1
        self.members.append(index)


class _FreeTokens:
    """Keep the free tokens of each row in a tree of maxima: the first row with room is found from the top down."""

    def __init__(self, num_rows: int, *, row_tokens: int) -> None:
        """Start with `num_rows` empty rows; one a sample is always enough."""
        self._num_leaves = 1 << max(0, num_rows - 1).bit_length()
        self._largest = [row_tokens] * (2 * self._num_leaves)  # node n has the children 2n and 2n + 1; leaves come last

    def first_with(self, num_tokens: int) -> int:
        """Return the first row with room for so many tokens."""
        assert num_tokens <= self._largest[1], f"no row has room for {num_tokens} tokens"
        node = 1
        while node < self._num_leaves:
            node = 2 * node if self._largest[2 * node] >= num_tokens else 2 * node + 1
        return node - self._num_leaves

    def use(self, row: int, num_tokens: int) -> None:
        """Use tokens of a row that has them."""
        node = row + self._num_leaves
        self._largest[node] -= num_tokens
        while node > 1:
            node //= 2
            self._largest[node] = max(self._largest[2 * node], self._largest[2 * node + 1])

    def use_if_free(self, row: int, num_tokens: int) -> bool:
        """Use tokens of a row if it has them, and return whether it had."""
        is_free = num_tokens <= self._largest[row + self._num_leaves]
        if is_free:
            self.use(row, num_tokens)
        return is_free
