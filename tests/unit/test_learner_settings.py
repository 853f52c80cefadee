"""What a rank decides before it starts: ZeRO-3's settings, the buckets, and the models it can't train."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from actors.learning.bucket_plan import plan_buckets
from actors.learning.policy_model import load_model_config, num_parameter_bytes
from actors.learning.zero_config import GatherLimits, Settings, zero_settings
from driver.config import LearnerConfig
from driver.errors import BadInput


def zero_section(*, num_parameter_bytes: int, device: str) -> Settings:
    limits = GatherLimits(bucket_bytes=1, keep_bytes=1000)
    section = zero_settings(LearnerConfig(), limits, num_parameter_bytes=num_parameter_bytes, device=device)[
        "zero_optimization"
    ]
    assert isinstance(section, dict)
    return section


def test_a_small_model_stays_whole_and_a_large_one_is_sharded() -> None:
    assert zero_section(num_parameter_bytes=1000, device="cpu")["stage3_param_persistence_threshold"] == 1000
    assert zero_section(num_parameter_bytes=1001, device="cpu")["stage3_param_persistence_threshold"] == 100_000


def test_gradients_are_reduced_by_what_the_device_does_best() -> None:
    on_cpu, on_gpu = (zero_section(num_parameter_bytes=1, device=device) for device in ("cpu", "cuda"))
    assert (on_cpu["reduce_scatter"], on_cpu["overlap_comm"]) == (False, False)
    assert (on_gpu["reduce_scatter"], on_gpu["overlap_comm"]) == (True, True)


@pytest.mark.parametrize(("dtype", "is_half"), [("bfloat16", True), ("float32", False)])
def test_the_dtype_decides_on_half_precision(dtype: str, is_half: bool) -> None:
    config = LearnerConfig.model_validate({"dtype": dtype})
    settings = zero_settings(config, GatherLimits(bucket_bytes=1), num_parameter_bytes=1, device="cpu")
    assert settings["bf16"] == {"enabled": is_half}


def test_buckets_keep_the_order_and_the_limit() -> None:
    # 4, 8, 2 and 2 bytes, then one of 40 that is larger than a bucket, and 2 more.
    metadata = [
        ("a", torch.float32, (1,)),
        ("b", torch.bfloat16, (2, 2)),
        ("c", torch.bfloat16, (1,)),
        ("d", torch.bfloat16, (1, 1)),
        ("large", torch.float32, (10,)),
        ("e", torch.bfloat16, (1,)),
    ]
    assert plan_buckets(metadata, 12) == [["a", "b"], ["c", "d"], ["large"], ["e"]]
    assert plan_buckets(metadata, 1000) == [["a", "b", "c", "d", "large", "e"]]
    assert plan_buckets([], 12) == []


def test_a_bucket_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 byte, got 0"):
        plan_buckets([], 0)


def tiny_config(**changes: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=10, hidden_size=4, intermediate_size=6, num_hidden_layers=1, num_attention_heads=2, **changes
    )


def test_the_size_of_a_model_counts_tied_weights_once() -> None:
    # Embedding 40, attention 4 x 16, MLP 3 x 24, three norms of 4; the head 40 again unless it is tied.
    assert num_parameter_bytes(tiny_config(tie_word_embeddings=True), torch.bfloat16) == 2 * (40 + 64 + 72 + 12)
    assert num_parameter_bytes(tiny_config(tie_word_embeddings=False), torch.float32) == 4 * (80 + 64 + 72 + 12)


def test_a_model_that_changes_its_logits_is_refused(tmp_path: Path) -> None:
    tiny_config(final_logit_softcapping=30.0).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=r"final_logit_softcapping = 30.0"):
        load_model_config(str(tmp_path))


def test_a_plain_model_is_accepted(tmp_path: Path) -> None:
    tiny_config().save_pretrained(tmp_path)
    assert load_model_config(str(tmp_path)).model_type == "llama"
