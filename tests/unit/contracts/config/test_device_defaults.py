"""Test the keys whose default depends on the device of a run."""

from collections.abc import Mapping

import pytest

from contracts.config.device_defaults import Device, device_values, with_device_defaults
from tests.builders import a_config
from tests.refusals import refused


@pytest.mark.parametrize(
    ("device", "values"), [("cpu", (64, 2048, 1024, 256, 128)), ("cuda", (256, 16384, 16384, 2048, 512))]
)
def test_auto_is_a_number_of_the_device(device: Device, values: tuple[int, ...]) -> None:
    sequences, batched, row, chunk, bucket = values
    assert device_values(with_device_defaults(a_config(), device)) == {
        "policy.max_num_seqs": sequences,
        "policy.max_num_batched_tokens": batched,
        "pivot.max_num_seqs": sequences,
        "pivot.max_num_batched_tokens": batched,
        "learner.row_tokens": row,
        "learner.logprob_chunk_tokens": chunk,
        "weights.bucket_mib": bucket,
    }


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_long_context_fits_into_a_row_and_into_a_step(device: Device) -> None:
    long = with_device_defaults(a_config(policy={"max_model_len": 40_000}), device)
    assert (long.row_tokens, long.policy.max_num_batched_tokens) == (40_000, 40_000)


def test_what_the_config_gives_stays() -> None:
    given: dict[str, Mapping[str, object]] = {
        "policy": {"max_num_seqs": 7, "max_num_batched_tokens": 5000},
        "pivot": {"max_num_seqs": 8, "max_num_batched_tokens": 6000},
        "learner": {"row_tokens": 3000, "logprob_chunk_tokens": 9},
        "weights": {"bucket_mib": 3},
    }
    config = a_config(given)
    assert with_device_defaults(config, "cuda") == config
    assert with_device_defaults(with_device_defaults(a_config(), "cuda"), "cpu").row_tokens == 16384


@pytest.mark.parametrize(
    ("device", "pivot", "named"),
    [
        ("cpu", {"max_num_batched_tokens": 1023}, "pivot.max_model_len 1024"),
        ("cuda", {"max_num_batched_tokens": 255}, "pivot.max_num_seqs 256"),
    ],
)
def test_a_step_that_holds_no_prompt_or_not_every_sequence_is_refused(
    device: Device, pivot: Mapping[str, object], named: str
) -> None:
    with refused("pivot.max_num_batched_tokens", named):
        with_device_defaults(a_config(pivot=pivot), device)
    number = {"max_num_batched_tokens": int(str(pivot["max_num_batched_tokens"])) + 1}
    with_device_defaults(a_config(pivot=number), device)
