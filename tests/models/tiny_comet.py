"""Build a tiny random COMET checkpoint of each kind."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import XLMRobertaConfig, XLMRobertaModel

WORDS = ("<s>", "<pad>", "</s>", "<unk>", "one", "two", "three", "eins", "zwei", "drei")


DIMENSION = 8


MAX_POSITIONS = 24  # a joint sequence may have 22 tokens, a single one 20


FACTORS = {"regression_metric": 6, "referenceless_regression_metric": 4, "unified_metric": 1}


def save_comet(folder: Path, kind: str, *, more: str = "") -> Path:
    """Save a random checkpoint in the usual layout, with its encoder's config and tokenizer beside it."""
    torch.manual_seed(3)
    config = XLMRobertaConfig(
        vocab_size=len(WORDS),
        hidden_size=DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=MAX_POSITIONS,
        initializer_range=0.5,
    )
    encoder = XLMRobertaModel(config, add_pooling_layer=False)
    config.save_pretrained(folder / "encoder")
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "encoder" / "tokenizer.json"))
    state = {f"encoder.model.{name}": tensor for name, tensor in encoder.state_dict().items()}
    state |= {f"layerwise_attention.scalar_parameters.{layer}": torch.zeros(1) for layer in range(3)}
    state["layerwise_attention.gamma"] = torch.ones(1)
    for name, shape in {"0": (5, FACTORS[kind] * DIMENSION), "3": (1, 5)}.items():
        state |= {f"estimator.ff.{name}.weight": torch.randn(shape), f"estimator.ff.{name}.bias": torch.randn(shape[0])}
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": state}, folder / "checkpoints" / "model.ckpt")
    told = f"class_identifier: {kind}\nlayer_norm: false\nlayer_transformation: softmax\nhidden_sizes: [5]\n"
    segments = "input_segments: [mt, src]\n" if kind == "unified_metric" else ""
    (folder / "hparams.yaml").write_text(told + segments + more, encoding="utf-8")
    return folder
