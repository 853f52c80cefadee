"""Say on which device the tests of this folder run, and which of them this machine has enough GPUs for.

`TEST_DEVICE=cpu` runs them on the CPU, where that is possible: it tests the tests, since what they compare holds there
too.
"""

import os
from typing import cast

import pytest
import torch

from contracts.config.device_defaults import Device

DEVICE = cast(Device, os.environ.get("TEST_DEVICE", "cuda"))
ON_GPU = DEVICE == "cuda"
DTYPE = "bfloat16" if ON_GPU else "float32"
"""Number format of an engine: vLLM's kernels for GPUs compute in 16 bits."""
CLOSE = 0.03 if ON_GPU else 1e-3
"""Largest mean distance of an engine's log-probabilities from those of transformers in fp32."""


def needs_gpus(count: int) -> pytest.MarkDecorator:
    """Skip a test where the tests run on GPUs and there are fewer than `count`."""
    found = torch.cuda.device_count()
    return pytest.mark.skipif(ON_GPU and found < count, reason=f"needs {count} GPUs, and there are {found}")
