"""Test how weights travel in a run, and what a policy worker is started with for it."""

from collections.abc import Mapping

import pytest

from cluster.settings import weight_backend
from cluster.team import policy_arguments
from contracts.config.device_defaults import Device
from contracts.config.workers import WeightBackend
from tests.builders import a_config


@pytest.mark.parametrize(
    ("sections", "device", "expected"),
    [
        ({}, "cpu", "object_store"),
        ({}, "cuda", "nccl"),
        ({"weights": {"backend": "object_store"}}, "cuda", "object_store"),
        ({"learner": {"lora": {"rank": 8}}}, "cpu", "adapters"),
        ({"learner": {"lora": {"rank": 8}}}, "cuda", "adapters"),
        ({"learner": {"lora": {"rank": 8}}, "weights": {"lora": "merged"}}, "cuda", "nccl"),
        ({"weights": {"lora": "adapter"}}, "cpu", "object_store"),
    ],
)
def test_adapters_travel_alone_where_the_learner_has_some_unless_they_shall_be_merged(
    sections: Mapping[str, Mapping[str, object]], device: Device, expected: WeightBackend
) -> None:
    assert weight_backend(a_config(**sections), device) == expected


def test_a_policy_worker_is_told_the_rank_of_its_adapters() -> None:
    config = a_config(learner={"lora": {"rank": 8}})
    assert policy_arguments(config, "cpu") == (config.policy, "cpu", "adapters", 8)
    assert policy_arguments(a_config(), "cpu")[2:] == ("object_store", 0)
