"""Make random models of several families that are small enough for unit tests."""

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

VOCABULARY, TEMPERATURE = 50, 0.7
SHAPE: dict[str, object] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Settings that most families share."""
GPT2_SHAPE: dict[str, object] = {
    "vocab_size": VOCABULARY,
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
}


def save_random_model(folder: Path, kind: type[PretrainedConfig], settings: Mapping[str, object]) -> None:
    """Save a model whose random weights are so large that every position matters to every later one."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(kind.from_dict(dict(settings))).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.25)
    model.save_pretrained(folder)
