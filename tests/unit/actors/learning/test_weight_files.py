"""Check that weight files are what safetensors itself writes, with the sums of their bytes."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as bytes_of
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from actors.learning.weight_files import WeightFile, weight_files

METADATA = {"format": "pt"}
TENSORS = {
    "b": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
    "a": torch.arange(5, dtype=torch.float32),
    "ä": torch.tensor([1, 2], dtype=torch.int64),
    "none": torch.empty(0, 3, dtype=torch.float16),
    "scalar": torch.tensor(2.5),
    "turned": torch.arange(6, dtype=torch.float32).reshape(2, 3).T,
    "flags": torch.tensor([True, False, True]),
}


def test_a_file_is_what_safetensors_writes_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    found = WeightFile(path=path, tensors=TENSORS, metadata=METADATA).write()
    content = path.read_bytes()
    assert content == bytes_of({name: tensor.contiguous() for name, tensor in TENSORS.items()}, METADATA)
    assert (found.size, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def model() -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, vocab_size=16)
    )


def test_transformers_hands_over_what_it_would_write_and_writes_all_else(
    tmp_path: Path, model: PreTrainedModel
) -> None:
    model.save_pretrained(tmp_path / "by-itself", max_shard_size="2KB")
    with weight_files() as files:
        model.save_pretrained(tmp_path / "handed-over", max_shard_size="2KB")
    assert len(files) > 1
    assert not list((tmp_path / "handed-over").glob("*.safetensors"))
    for file in files:
        file.write()
    names = {path.name for path in (tmp_path / "by-itself").iterdir()}
    assert {path.name for path in (tmp_path / "handed-over").iterdir()} == names
    for name in names:
        assert (tmp_path / "handed-over" / name).read_bytes() == (tmp_path / "by-itself" / name).read_bytes(), name


def test_afterwards_transformers_writes_its_files_itself_again(tmp_path: Path, model: PreTrainedModel) -> None:
    with pytest.raises(RuntimeError), weight_files():
        raise RuntimeError
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() >= {"lm_head.weight"}
