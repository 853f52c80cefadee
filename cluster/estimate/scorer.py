"""Estimate the memory of a scorer: its encoder, and the models that the reward needs beside it."""

from pathlib import Path

from cluster.estimate.parts import (
    CUDA_CONTEXT_GIB,
    CUDA_PROCESS_GIB,
    SCORER_PROCESS_GIB,
    ActorMemory,
    Memory,
    gib,
)
from cluster.estimate.shapes import BYTES, Layers, model_size
from contracts.config.reward import needs_translator
from contracts.config.run import Config

LONGEST_TEXT = 512
"""Tokens of a text that an encoder of BERT's kind reads at most."""


def scorer_memory(config: Config, *, on_gpu: bool) -> ActorMemory:
    """Return the memory of one scorer."""
    weights = _weights(config)
    size = model_size(config.scorer.model, key="scorer.model")
    if weights is None or size is None:
        return ActorMemory(host=None)
    batch = encoder_batch(size.layers, batch_size=config.scorer.batch_size, num_bytes=BYTES[config.scorer.dtype])
    models = weights | {"a batch": batch}
    if not on_gpu:
        return ActorMemory(host=Memory(models | {"process": SCORER_PROCESS_GIB}))
    return ActorMemory(host=Memory({"process": CUDA_PROCESS_GIB}), gpu=Memory(models | {"context": CUDA_CONTEXT_GIB}))


def encoder_batch(layers: Layers, *, batch_size: int, num_bytes: int) -> float:
    """Return the GiB of one layer's activations of a batch of the longest texts: a forward pass keeps no more."""
    return gib(batch_size * LONGEST_TEXT * (4 * layers.hidden + layers.intermediate) * num_bytes)


def _weights(config: Config) -> dict[str, float] | None:
    """Return the GiB of each model's weights; None if one of the models is not here."""
    found = {"encoder": _model(config.scorer.model, config.scorer.dtype, key="scorer.model")}
    if config.reward.needs_comet:
        checkpoint = Path(config.comet.model) / "checkpoints" / "model.ckpt"  # fp32 weights of encoder and head
        found["COMET"] = gib(checkpoint.stat().st_size * BYTES[config.comet.dtype] / 4) if checkpoint.exists() else None
    if needs_translator(config.reward, config.comet):
        found["translator"] = _model(config.translator.model, config.translator.dtype, key="translator.model")
    known = {name: value for name, value in found.items() if value is not None}
    return known if len(known) == len(found) else None


def _model(model: str, dtype: str, *, key: str) -> float | None:
    size = model_size(model, key=key)
    return None if size is None else gib(size.parameters * BYTES[dtype])
