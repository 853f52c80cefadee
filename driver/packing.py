"""Which samples lie in which row: first-fit decreasing under a budget of tokens, then evened out over the ranks.

Owns the arithmetic of lengths. Pure: must not know what a sample is, nor numpy. The same lengths in the same order give
the same rows. First-fit decreasing never needs more than 11/9 of the fewest rows, and one more (Dósa 2007).
"""

from heapq import heapify, heapreplace


def assign_rows(lengths: list[int], *, num_ranks: int, row_tokens: int) -> list[list[int]]:
    """Indices of the samples of each row. First-fit decreasing says how few rows will do; they are then evened out.

    Even rows need no dummies: their number is rounded up to a multiple of the ranks, as far as there are samples. Where
    evening out would break the budget, rows stay as first-fit decreasing fills them: nearly full, but for the last.
    """
    rows = first_fit_decreasing(lengths, row_tokens=row_tokens)
    num_rows = min(len(rows) + -len(rows) % num_ranks, len(lengths))
    even = emptiest_first(lengths, num_rows=num_rows)
    if max(sum(lengths[index] for index in members) for members in even) <= row_tokens:
        return even
    return rows


def first_fit_decreasing(lengths: list[int], *, row_tokens: int) -> list[list[int]]:
    """Longest sample first, each into the first row with room for it: O(n log n)."""
    rooms = _Rooms(len(lengths), row_tokens=row_tokens)
    rows: list[list[int]] = []
    for index in _longest_first(lengths):
        row = rooms.take(lengths[index])
        if row == len(rows):
            rows.append([])
        rows[row].append(index)
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


def _longest_first(lengths: list[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


class _Rooms:
    """What is still free in each row, as a tree of maxima: the first row with room is found from the top down."""

    def __init__(self, num_rows: int, *, row_tokens: int) -> None:
        """`num_rows` empty rows; one a sample always suffices."""
        self._num_leaves = 1 << max(0, num_rows - 1).bit_length()
        self._most = [row_tokens] * (2 * self._num_leaves)  # node n has the children 2n and 2n + 1; leaves come last

    def take(self, num_tokens: int) -> int:
        """Use up room in the first row that has it; which row that is."""
        assert num_tokens <= self._most[1], f"no row has room for {num_tokens} tokens"
        node = 1
        while node < self._num_leaves:
            node = 2 * node if self._most[2 * node] >= num_tokens else 2 * node + 1
        row = node - self._num_leaves
        self._most[node] -= num_tokens
        while node > 1:
            node //= 2
            self._most[node] = max(self._most[2 * node], self._most[2 * node + 1])
        return row
