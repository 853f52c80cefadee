"""The DeepSpeed configuration of one model on one rank, as the dict that DeepSpeed reads.

Owns ZeRO-3's settings and why they are so. Pure: imports neither DeepSpeed nor torch.

The loss is normalised by the caller over the whole batch, so DeepSpeed is told of no gradient accumulation
(`gradient_accumulation_steps` = 1): the caller marks the boundary, and only the mean over ranks has to be undone.
"""

from typing import TypeAlias

from contracts.config.run import LearnerConfig

Settings: TypeAlias = "dict[str, bool | int | float | str | list[float] | Settings]"

BUCKET_ELEMENTS = 50_000_000
"""Gradients reduced, or parameters gathered ahead, at once. Each rank holds a few buffers of this size."""


def stays_whole(learner: LearnerConfig, num_parameter_bytes: int) -> bool:
    """Whether a model of this size stays gathered between steps.

    Gathering a small one again for every micro-batch would cost more than the memory is worth. fp32 weights and
    optimiser states are sharded all the same.
    """
    return num_parameter_bytes <= learner.keep_whole_mib << 20 and not learner.offload_parameters


def training_settings(
    learner: LearnerConfig, *, learning_rate: float, max_grad_norm: float, num_parameter_bytes: int, device: str
) -> Settings:
    """ZeRO-3 with AdamW for a model of this size that learns: the policy, or the critic."""
    return _sharding(learner, num_parameter_bytes=num_parameter_bytes, device=device) | {
        "gradient_clipping": max_grad_norm,
        # Micro-batches add up in fp32, whatever dtype they are computed and sent in (but for `reduces_once`).
        "data_types": {"grad_accum_dtype": "fp32"},
        "optimizer": {
            "type": "AdamW",
            # torch's own fused kernel, on both devices: DeepSpeed's would be compiled at the first start, which needs
            # a compiler on every machine.
            "params": {
                "torch_adam": True,
                "fused": True,
                "lr": learning_rate,
                "betas": list(learner.adam_betas),
                "eps": 1e-8,
                "weight_decay": learner.weight_decay,
            },
        },
        "zero_allow_untested_optimizer": False,
        "zero_force_ds_cpu_optimizer": False,  # offloaded states are updated by torch's kernel too
    }


def frozen_settings(learner: LearnerConfig, *, num_parameter_bytes: int, device: str) -> Settings:
    """ZeRO-3 for a model of this size that never learns: weights in shards, and nothing beside them."""
    return _sharding(learner, num_parameter_bytes=num_parameter_bytes, device=device)


def _sharding(learner: LearnerConfig, *, num_parameter_bytes: int, device: str) -> Settings:
    zero: Settings = {
        "stage": 3,
        "overlap_comm": device == "cuda",
        "contiguous_gradients": True,
        # gloo makes a reduce-scatter out of an all-reduce and copies; NCCL has a real one.
        "reduce_scatter": device == "cuda",
        "reduce_bucket_size": BUCKET_ELEMENTS,
        "stage3_prefetch_bucket_size": BUCKET_ELEMENTS,
        "stage3_param_persistence_threshold": (
            num_parameter_bytes if stays_whole(learner, num_parameter_bytes) else 100_000
        ),
    }
    pinned = device == "cuda"  # copies to and from a GPU are faster from pinned memory; a CPU has nothing to pin for
    if learner.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pinned}
    if learner.offload_parameters:
        zero["offload_param"] = {"device": "cpu", "pin_memory": pinned}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "bf16": {"enabled": learner.dtype == "bfloat16"},
        "zero_optimization": zero,
        "steps_per_print": 2**31,
        "wall_clock_breakdown": False,
    }
