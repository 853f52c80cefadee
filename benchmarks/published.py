"""Make folders with the published sizes of real models and without their weights: enough to plan and to reckon."""

import json
from collections.abc import Mapping
from pathlib import Path

from cluster.estimate.shapes import model_size
from contracts.config.run import Config
from contracts.errors import BadInput

LLAMA_8B: Mapping[str, object] = {  # Llama-3.1-8B-Instruct
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
QWEN3_32B: dict[str, object] = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 5120,
    "intermediate_size": 25600,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": False,
}
QWEN3_8B: dict[str, object] = QWEN3_32B | {
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
}
QWEN25_14B: Mapping[str, object] = {  # Qwen2.5-14B-Instruct
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
}
QWEN25_72B: Mapping[str, object] = {  # Qwen2.5-72B-Instruct
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
}
QWEN25_1_5B: Mapping[str, object] = {  # Qwen2.5-1.5B-Instruct
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
QWEN25_HALF: Mapping[str, object] = {  # Qwen2.5-0.5B-Instruct
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
E5_SMALL: Mapping[str, object] = {  # multilingual-e5-small
    "model_type": "bert",
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 250037,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
E5_LARGE: Mapping[str, object] = {  # multilingual-e5-large
    "model_type": "xlm-roberta",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "vocab_size": 250002,
    "max_position_embeddings": 514,
    "tie_word_embeddings": True,
}


PUBLISHED: Mapping[str, Mapping[str, object]] = {
    "meta-llama/Llama-3.1-8B-Instruct": LLAMA_8B,
    "Qwen/Qwen3-32B": QWEN3_32B,
    "Qwen/Qwen3-8B": QWEN3_8B,
    "Qwen/Qwen2.5-14B-Instruct": QWEN25_14B,
    "Qwen/Qwen2.5-72B-Instruct": QWEN25_72B,
    "Qwen/Qwen2.5-1.5B-Instruct": QWEN25_1_5B,
    "Qwen/Qwen2.5-0.5B-Instruct": QWEN25_HALF,
    "intfloat/multilingual-e5-large": E5_LARGE,
    "intfloat/multilingual-e5-small": E5_SMALL,
}
"""By their names on the Hugging Face hub."""


def published_model(folder: Path, facts: Mapping[str, object]) -> str:
    """Write a model folder that has a config.json alone, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(facts)), encoding="utf-8")
    return str(folder)


def with_published_sizes(config: Config, folder: Path) -> Config:
    """Return the config with a folder of published sizes in place of each model that is not on this machine.

    Raises:
        BadInput: a model is neither on this machine nor known here.
    """
    changed = {}
    for section in ("policy", "pivot", "scorer"):
        given = getattr(config, section)
        if model_size(given.model, key=f"{section}.model") is not None:
            continue
        if given.model not in PUBLISHED:
            raise BadInput(
                f"{section}.model = {given.model!r} is not on this machine, and its sizes are not among those of "
                f"{', '.join(PUBLISHED)}; give a folder with its config.json",
                key=f"{section}.model",
            )
        model = published_model(folder / section, PUBLISHED[given.model])
        changed[section] = given.model_copy(update={"model": model})
    return config.model_copy(update=changed)
