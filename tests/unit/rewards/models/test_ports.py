"""Test the cosines of vectors."""

import math

import numpy as np
import pytest

from rewards.models.ports import all_cosines


def test_all_cosines_pair_every_row_with_every_other() -> None:
    a = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    b = np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)
    assert all_cosines(a, b) == pytest.approx(np.array([[0.6, 1.0], [0.8, 0.0], [-0.6, -1.0]]))


def test_cosine_of_rounded_vectors_is_never_outside_minus_one_to_one() -> None:
    long = np.array([[1.0001, 0.0]], dtype=np.float32)
    assert all_cosines(long, long) == [[1.0]]
    assert all_cosines(long, -long) == [[-1.0]]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_vector_that_is_not_finite_has_no_cosine_and_spoils_no_other(broken: float) -> None:
    a = np.array([[broken, 0], [0.6, 0.8]], dtype=np.float32)
    b = np.array([[1, 0], [1, 0]], dtype=np.float32)
    table = all_cosines(a, b)
    assert np.isnan(table[0]).all() and table[1] == pytest.approx([0.6, 0.6])


def test_a_vector_that_is_not_finite_raises_no_warning() -> None:
    broken, axis = np.array([[math.inf, 0.0]], dtype=np.float32), np.array([[0.0, 1.0]], dtype=np.float32)
    with np.errstate(invalid="raise"):
        assert np.isnan(all_cosines(broken, axis)).all()
