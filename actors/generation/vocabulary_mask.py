"""Keep an engine from drawing rows of the output head that stand for no token.

vLLM creates the logits processor in each process that samples. This module imports vLLM, so the process must be
prepared before it is imported.
"""

import torch
from vllm.config import VllmConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as GpuLogitsProcessor

from actors.learning.policy_model import num_drawable_tokens

_NUM_DRAWABLE = "num_drawable_tokens"
"""Key of vLLM's `additional_config`: how many rows of the head are tokens."""


def mask_padding_rows(arguments: EngineArgs, model: str) -> None:
    """Add the mask to vLLM's arguments if the head of `model` has more rows than its tokenizer has ids."""
    num_drawable = num_drawable_tokens(model, trust_remote_code=bool(arguments.trust_remote_code))
    if num_drawable is not None:
        # By name, so that vLLM's own worker processes also find the class.
        arguments.logits_processors = [f"{VocabularyMask.__module__}:{VocabularyMask.__qualname__}"]
        arguments.additional_config = {_NUM_DRAWABLE: num_drawable}


class VocabularyMask(LogitsProcessor, GpuLogitsProcessor):
    """Give padding rows the probability 0, before greedy choice, temperature and the processed log-probabilities.

    vLLM has two model runners, each with an interface of its own: the CPU has the older one, a GPU with Triton the
    newer one. This is a processor for both. The mask is the same for all requests.
    """

    def __init__(self, vllm_config: VllmConfig, *_state: object) -> None:
        settings = vllm_config.additional_config
        assert isinstance(settings, dict)
        self._num_drawable: int = settings[_NUM_DRAWABLE]

    def apply(self, logits: torch.Tensor, *_context: object) -> torch.Tensor:
        """Mask logits [n, V] in place and return them."""
        logits[:, self._num_drawable :] = -torch.inf
        return logits

    def is_argmax_invariant(self) -> bool:
        """Return False: the mask may change the most probable token."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Do nothing: the mask does not depend on the batch."""
