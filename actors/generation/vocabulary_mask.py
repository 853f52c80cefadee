"""What keeps an engine from drawing rows of the output head that stand for no token.

Owns the logits processor; vLLM makes one in each process that samples. Imports vLLM, so a process must be prepared
(actors/generation/process.py) before it imports this.
"""

import torch
from vllm.config import VllmConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as GpuLogitsProcessor

from actors.learning.policy_model import num_drawable_tokens

_NUM_DRAWABLE = "num_drawable_tokens"
"""Key of vLLM's `additional_config`: how many rows of the head are tokens."""


def mask_padding_rows(arguments: EngineArgs) -> None:
    """Ask for the mask, where the model's head has more rows than its tokenizer has ids."""
    num_drawable = num_drawable_tokens(arguments.model, trust_remote_code=bool(arguments.trust_remote_code))
    if num_drawable is not None:
        # By name, so that vLLM's own worker processes find the class too.
        arguments.logits_processors = [f"{VocabularyMask.__module__}:{VocabularyMask.__qualname__}"]
        arguments.additional_config = {_NUM_DRAWABLE: num_drawable}


class VocabularyMask(LogitsProcessor, GpuLogitsProcessor):
    """Probability 0 for padding, before greedy choice, temperature and the processed log-probabilities.

    vLLM has two model runners with an interface each (the CPU has the older one, a GPU with Triton the newer one), and
    this is a processor for both. It knows nothing of requests: the mask is the same for all.
    """

    def __init__(self, vllm_config: VllmConfig, *_state: object) -> None:
        settings = vllm_config.additional_config
        assert isinstance(settings, dict)
        self._num_drawable: int = settings[_NUM_DRAWABLE]

    def apply(self, logits: torch.Tensor, *_context: object) -> torch.Tensor:
        """logits [n, V], in place."""
        logits[:, self._num_drawable :] = -torch.inf
        return logits

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """The batch does not matter."""
