"""Build the DeepSpeed configuration of one model on one rank, as the dict that DeepSpeed reads.

Pure: imports neither DeepSpeed nor torch. The caller normalises the loss over the whole batch. So DeepSpeed is
configured without gradient accumulation (`gradient_accumulation_steps` = 1), the caller marks the accumulation
boundary, and only DeepSpeed's mean over ranks has to be undone.
"""

from typing import TypeAlias

from actors.learning.rank_setup import RankPlace
from contracts.config.learning import LearnerConfig

Settings: TypeAlias = "dict[str, bool | int | float | str | list[float] | Settings]"

BUCKET_ELEMENTS = 50_000_000
"""Number of gradients reduced, or of parameters prefetched, at once. Each rank holds a few buffers of this size."""


def stays_whole(learner: LearnerConfig, num_parameter_bytes: int) -> bool:
    """Return whether a model of this size in bytes stays gathered between steps.

    Gathering a small model again for every micro-batch would cost more than the memory is worth. Its fp32 weights and
    optimiser states are still sharded.
    """
    return num_parameter_bytes <= learner.keep_whole_mib << 20 and not learner.offload_parameters


def training_settings(
    learner: LearnerConfig, *, learning_rate: float, max_grad_norm: float, num_parameter_bytes: int, place: RankPlace
) -> Settings:
    """Return the settings of a model that learns (policy or critic): ZeRO-3 with AdamW."""
    return _sharding(learner, num_parameter_bytes=num_parameter_bytes, place=place) | {
        "gradient_clipping": max_grad_norm,
        # Micro-batches are added up in fp32, whatever dtype they are computed and sent in (except for `reduces_once`).
        "data_types": {"grad_accum_dtype": "fp32"},
        "optimizer": {
            "type": "AdamW",
            # torch's own fused kernel on both devices. DeepSpeed's would be compiled at the first start, which needs a
            # compiler on every machine.
            "params": {
                "torch_adam": True,
                "fused": True,
                "lr": learning_rate,
                "betas": list(learner.adam_betas),
                "eps": 1e-8,
                # The weight decay is that of each parameter group.
            },
        },
        "zero_allow_untested_optimizer": False,
        "zero_force_ds_cpu_optimizer": False,  # torch's kernel also updates offloaded states
    }


def frozen_settings(learner: LearnerConfig, *, num_parameter_bytes: int, place: RankPlace) -> Settings:
    """Return the settings of a model that never learns: its weights in shards, and nothing else."""
    return _sharding(learner, num_parameter_bytes=num_parameter_bytes, place=place)


def _sharding(learner: LearnerConfig, *, num_parameter_bytes: int, place: RankPlace) -> Settings:
    zero: Settings = {
        "stage": 3,
        "overlap_comm": place.reduces_in_background,
        "contiguous_gradients": True,
        # gloo builds a reduce-scatter from an all-reduce and copies; NCCL has a real one.
        "reduce_scatter": place.reduces_in_background,
        "reduce_bucket_size": BUCKET_ELEMENTS,
        "stage3_prefetch_bucket_size": BUCKET_ELEMENTS,
        "stage3_param_persistence_threshold": (
            num_parameter_bytes if stays_whole(learner, num_parameter_bytes) else 100_000
        ),
    }
    pinned = place.device == "cuda"  # pinned memory makes copies to and from a GPU faster; a CPU needs none
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
