"""Test mini-batches: whole groups, nearly equal sizes, each once an epoch, the same after a resume."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.batches import TrainSample
from driver.learning.batching import cut, mini_batches

SIZES = st.lists(st.integers(1, 500), min_size=1, max_size=40)


def a_group(name: str, *lengths: int) -> list[TrainSample]:
    return [
        TrainSample(
            group_id=name,
            prompt_token_ids=(1,),
            response_token_ids=(2,) * length,
            sampling_logprobs=(-1.0,) * length,
            advantages=(float(index),) * length,
            policy_version=0,
        )
        for index, length in enumerate(lengths)
    ]


GROUPS = [
    a_group(name, *lengths) for name, lengths in zip("abcdef", [(3, 3), (9,), (1, 2), (4, 4), (7,), (5,)], strict=True)
]


def parts(*, num: int, epochs: int = 1, seed: int = 1, step: int = 1) -> list[list[str]]:
    return [names(samples) for samples in mini_batches(GROUPS, num=num, epochs=epochs, seed=seed, step=step)]


def names(samples: Sequence[TrainSample]) -> list[str]:
    return list(dict.fromkeys(sample.group_id for sample in samples))


@pytest.mark.parametrize("num", [1, 2, 3, 5, 6])
def test_every_group_is_whole_in_exactly_one_mini_batch_of_every_epoch(num: int) -> None:
    batches = list(mini_batches(GROUPS, num=num, epochs=3, seed=1, step=1))
    assert len(batches) == 3 * num
    for epoch in range(3):
        of_epoch = batches[epoch * num : (epoch + 1) * num]
        assert Counter(name for samples in of_epoch for name in names(samples)) == Counter("abcdef")
        assert sorted((s.group_id, s.advantages) for samples in of_epoch for s in samples) == sorted(
            (s.group_id, s.advantages) for group in GROUPS for s in group
        )


def test_one_mini_batch_is_the_batch_as_it_is() -> None:
    (samples,) = mini_batches(GROUPS, num=1, epochs=1, seed=1, step=1)
    assert samples == [sample for group in GROUPS for sample in group]


def test_fewer_groups_than_mini_batches_give_one_each() -> None:
    assert len(parts(num=9)) == 6
    assert list(mini_batches([], num=2, epochs=2, seed=1, step=1)) == []


def test_seed_step_and_epoch_decide_who_is_with_whom_and_nothing_else() -> None:
    assert parts(num=3, epochs=2) == parts(num=3, epochs=2)
    cuts = [parts(num=3, seed=seed, step=step) for seed in range(4) for step in range(4)]
    assert len({str(one) for one in cuts}) > 8
    first, second = parts(num=3, epochs=2)[:3], parts(num=3, epochs=2)[3:]
    assert first != second


def test_two_parts_of_four_groups() -> None:
    # 9 and 7 go to different parts, then 2 and 1: 10 and 9, or 11 and 8.
    sizes = [9, 7, 2, 1]
    cuts = [cut(sizes, num_parts=2, random=Random(seed)) for seed in range(20)]
    sums = {tuple(sorted(sum(sizes[index] for index in part) for part in parts)) for parts in cuts}
    assert sums == {(9, 10), (8, 11)}


@given(SIZES, st.integers(1, 8), st.integers(0, 9))
def test_parts_differ_by_no_more_than_the_largest_group(sizes: list[int], num_parts: int, seed: int) -> None:
    num_parts = min(num_parts, len(sizes))
    found = cut(sizes, num_parts=num_parts, random=Random(seed))
    assert sorted(index for part in found for index in part) == list(range(len(sizes)))
    filled = [sum(sizes[index] for index in part) for part in found]
    assert max(filled) - min(filled) <= max(sizes)
    assert all(found)
