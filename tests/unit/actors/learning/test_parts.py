"""Check that any number of ranks makes its parts of a parameter from what any other number has saved."""

from hypothesis import given
from hypothesis import strategies as st

from actors.learning.parts import Part, Piece, pieces


def part(whole: int, world_size: int) -> Part:
    return Part(name="w", flat=0, start=0, length=-(-whole // world_size), whole=whole, shape=(whole,))


def saved_parts(whole: int, num_ranks: int) -> list[list[int]]:
    """Return the part of each rank of a parameter whose elements are 0, 1, 2, ...; padding is -1."""
    length = -(-whole // num_ranks)
    padded = [*range(whole), *[-1] * (length * num_ranks - whole)]
    return [padded[rank * length : (rank + 1) * length] for rank in range(num_ranks)]


@given(whole=st.integers(1, 60), num_saved=st.integers(1, 7), world_size=st.integers(1, 7))
def test_every_rank_gets_its_own_elements_and_padding_stays_free(whole: int, num_saved: int, world_size: int) -> None:
    saved = saved_parts(whole, num_saved)
    for rank, expected in enumerate(saved_parts(whole, world_size)):
        found = [-1] * len(expected)
        for piece in pieces(part(whole, world_size), rank=rank, world_size=world_size, num_saved=num_saved):
            found[piece.target : piece.target + piece.length] = saved[piece.saved][piece.source :][: piece.length]
        assert found == expected


def test_three_ranks_read_no_more_than_they_need_of_two() -> None:
    """Ten elements: two ranks had five each, three ranks have four, four and two."""
    found = [list(pieces(part(10, 3), rank=rank, world_size=3, num_saved=2)) for rank in range(3)]
    assert found == [
        [Piece(saved=0, source=0, target=0, length=4)],
        [Piece(saved=0, source=4, target=0, length=1), Piece(saved=1, source=0, target=1, length=3)],
        [Piece(saved=1, source=3, target=0, length=2)],
    ]


def test_a_rank_whose_part_is_all_padding_needs_nothing() -> None:
    """Two elements over four ranks: the last two have none."""
    assert list(pieces(part(2, 4), rank=3, world_size=4, num_saved=1)) == []
