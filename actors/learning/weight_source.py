"""The learner's weights on their way out: walked through in bounded buckets, or written as a Hugging Face folder.

Owns the order of the walk and the gathering. Knows ZeRO-3; must not know who takes the weights. Gathering is a
collective: every rank walks all buckets, in the same order and to the end, and only rank 0 gets tensors.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import deepspeed
import torch
from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel

from actors.learning.bucket_plan import Metadata, plan_buckets


class ZeroWeightSource:
    """Full parameters of a ZeRO-3 sharded model, under the names that its own checkpoint has."""

    def __init__(self, causal: PreTrainedModel, *, model: str, rank: int, max_bucket_bytes: int) -> None:
        # named_parameters leaves out the second name of a tied parameter, and is in the same order on every rank.
        self._parameters = dict(causal.named_parameters())
        self._causal = causal
        self._model = model
        self._rank = rank
        self._plan = plan_buckets(self.metadata(), max_bucket_bytes)

    def metadata(self) -> Metadata:
        """Name, dtype and full shape of every parameter, in the order of the walk."""
        return [(name, parameter.dtype, tuple(_full_shape(parameter))) for name, parameter in self._parameters.items()]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        """Copies of the full tensors on rank 0; empty lists on the others, one per bucket all the same."""
        for names in self._plan:
            parameters = [self._parameters[name] for name in names]
            with deepspeed.zero.GatheredParameters(_missing(parameters)):
                copies = [
                    (name, parameter.detach().clone())
                    for name, parameter in zip(names, parameters, strict=True)
                    if self._rank == 0
                ]
            yield copies

    def export(self, folder: Path) -> None:
        """Write weights, config, generation config and tokenizer, so that transformers and vLLM load the folder.

        A collective like `buckets`; rank 0 holds the whole model in host memory while it writes.
        """
        state = {name: tensor.cpu() for bucket in self.buckets() for name, tensor in bucket}
        if self._rank == 0:
            self._causal.save_pretrained(folder, state_dict=state)
            AutoTokenizer.from_pretrained(self._model).save_pretrained(folder)


def _missing(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """Those that are not whole on this rank. Small models stay gathered, and gathering would take them apart again."""
    return [parameter for parameter in parameters if getattr(parameter, "ds_status", None) != ZeroParamStatus.AVAILABLE]


def _full_shape(parameter: nn.Parameter) -> torch.Size:
    """A sharded parameter's own shape is that of an empty tensor."""
    return getattr(parameter, "ds_shape", parameter.shape)
