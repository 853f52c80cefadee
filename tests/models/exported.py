"""Load and compare the policies that runs export."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel


def load_policy(folder: Path) -> PreTrainedModel:
    """Load a model folder in bf16."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)


def assert_same_policy(folder: Path, other: Path) -> None:
    """Check that two model folders have the same weights to the bit."""
    found, expected = load_policy(folder).state_dict(), load_policy(other).state_dict()
    assert found.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)] == []
