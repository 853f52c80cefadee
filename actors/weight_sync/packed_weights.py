"""Keep the packed copies of weights that vLLM computes with on CPUs: those that are used, and no others.

A layer's packed copy is inside its `cpu_linear`.
"""

from collections.abc import Callable
from typing import Protocol, cast

from torch import Tensor, nn
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding


class _Packed(Protocol):
    """A layer as vLLM leaves it on a CPU; on a GPU it has no packed copy."""

    cpu_linear: Callable[[Tensor, Tensor, Tensor | None], Tensor]


def free_packed_embeddings(model: nn.Module) -> None:
    """Free the packed copy of each input embedding, which is as large as the embedding.

    vLLM packs an embedding as it packs an output head. Where the head is a layer of its own, also one with the
    embedding's weights, it has a packed copy of its own, and nothing is multiplied by the embedding.
    """
    if not any(isinstance(layer, ParallelLMHead) for layer in model.modules()):
        return
    for layer in model.modules():
        if type(layer) is VocabParallelEmbedding:
            _free(layer)


def pack_heads_again(model: nn.Module) -> None:
    """Pack the output heads' weights of now: a tied head is never loaded itself, and would keep its old copy."""
    for layer in model.modules():
        if isinstance(layer, ParallelLMHead):
            _free(layer)  # before there is a new one
            layer.quant_method.process_weights_after_loading(layer)


def _free(layer: nn.Module) -> None:
    """Free a layer's packed copy: from now on it would compute with its weights as they are."""
    if hasattr(layer, "cpu_linear"):
        cast("_Packed", layer).cpu_linear = nn.functional.linear
