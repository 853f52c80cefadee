"""The DeepSpeed configuration of one rank, as the dict that DeepSpeed reads.

Owns ZeRO-3's settings and why they are so. Pure: imports neither DeepSpeed nor torch.

The loss is normalised by the caller over the whole batch, so DeepSpeed is told of no gradient accumulation
(`gradient_accumulation_steps` = 1): the caller marks the boundary, and only the mean over ranks has to be undone.
"""

from dataclasses import dataclass
from typing import TypeAlias

from driver.config import LearnerConfig

Settings: TypeAlias = "dict[str, bool | int | float | str | list[float] | Settings]"

BUCKET_ELEMENTS = 50_000_000
"""Gradients reduced, or parameters gathered ahead, at once. Each rank holds a few buffers of this size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatherLimits:
    """How much of the model may be whole on one rank, in bytes."""

    bucket_bytes: int  # at once, when the weights are walked through
    keep_bytes: int = 2**30
    """A model whose parameters take no more stays whole between steps: gathering it again for every micro-batch would
    cost more than the memory is worth. fp32 weights and optimiser states are sharded all the same."""

    def keep_whole(self, num_parameter_bytes: int) -> bool:
        return num_parameter_bytes <= self.keep_bytes


def zero_settings(config: LearnerConfig, limits: GatherLimits, *, num_parameter_bytes: int, device: str) -> Settings:
    """ZeRO-3 with AdamW for a model of this size."""
    stays_whole = limits.keep_whole(num_parameter_bytes)
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.max_grad_norm,
        "bf16": {"enabled": config.dtype == "bfloat16"},
        # Micro-batches add up in fp32, whatever dtype they are computed and sent in.
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": device == "cuda",
            "contiguous_gradients": True,
            # gloo makes a reduce-scatter out of an all-reduce and copies; NCCL has a real one.
            "reduce_scatter": device == "cuda",
            "reduce_bucket_size": BUCKET_ELEMENTS,
            "stage3_prefetch_bucket_size": BUCKET_ELEMENTS,
            "stage3_param_persistence_threshold": num_parameter_bytes if stays_whole else 100_000,
        },
        "optimizer": {
            "type": "AdamW",
            # torch's own fused kernel, on both devices: DeepSpeed's would be compiled at the first start, which needs
            # a compiler on every machine.
            "params": {
                "torch_adam": True,
                "fused": True,
                "lr": config.learning_rate,
                "betas": list(config.adam_betas),
                "eps": 1e-8,
                "weight_decay": config.weight_decay,
            },
        },
        "zero_allow_untested_optimizer": False,
        "steps_per_print": 2**31,
        "wall_clock_breakdown": False,
    }
