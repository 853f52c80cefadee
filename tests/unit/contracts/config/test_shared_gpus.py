"""Test which parts of a GPU may be reserved, and how much of its memory an engine takes then."""

from collections.abc import Mapping

import pytest

from tests.builders import a_config
from tests.refusals import refused_by_config


@pytest.mark.parametrize(
    ("pivot", "gpus", "share"),
    [
        ({}, 1, 0.85),
        ({"tensor_parallel_size": 4, "gpu_memory_utilization": 0.5}, 4, 0.5),
        ({"num_gpus": 0.6}, 0.6, 0.51),
        ({"num_gpus": 0.5, "gpu_memory_utilization": 1.0}, 0.5, 0.5),
    ],
)
def test_an_engine_takes_its_share_of_what_it_reserves(pivot: Mapping[str, object], gpus: float, share: float) -> None:
    built = a_config(pivot=pivot).pivot
    assert (built.gpus, built.gpu_memory_share) == (gpus, pytest.approx(share))


@pytest.mark.parametrize(
    ("key", "pivot", "scorer"),
    [
        ("pivot.num_gpus", {"num_gpus": 0.7}, {"num_gpus": 0.4}),
        ("pivot.num_gpus", {"num_gpus": 0.5, "tensor_parallel_size": 2}, {}),
        ("scorer.num_gpus", {}, {"num_gpus": 1.5}),
    ],
)
def test_parts_that_fit_on_no_gpu_are_refused(
    key: str, pivot: Mapping[str, object], scorer: Mapping[str, object]
) -> None:
    with refused_by_config(key):
        a_config(pivot=pivot, scorer=scorer)


@pytest.mark.parametrize("scorer", [0, 0.3, 0.1, 1, 2])
def test_parts_that_fit_are_taken(scorer: float) -> None:
    assert a_config(pivot={"num_gpus": 0.7}, scorer={"num_gpus": scorer}).scorer.num_gpus == scorer
