"""Prepare a process before vLLM is imported in it. Must not import vLLM itself."""

import math
import os

import torch

from contracts.config.device_defaults import Device
from contracts.config.workers import EngineConfig


def prepare_process(config: EngineConfig, device: Device) -> None:
    """Set what vLLM reads from the environment when it is imported."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    if device == "cpu":
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # Ray assigns the cores; pinned actors would collide
        os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)  # whole GiB only, and it would override kv_cache_gib
        torch.set_num_threads(max(1, math.floor(config.num_cpus)))
        # Without this vLLM compiles one small helper of its sampler when the first token is drawn. That takes up to
        # half a minute, needs a C++ compiler, and saves less than a millisecond a step.
        torch._dynamo.config.disable = True
        # Linux must be asked before a process uses AMX tiles. vLLM's attention uses them without asking, and with a
        # small model nothing else in the process has asked before: it would die of an illegal instruction.
        torch.cpu._init_amx()
