"""Identify a loaded model by every byte of its weights, and a loaded tokenizer by all that it does."""

import hashlib
import json
from typing import Protocol

import torch
from blake3 import blake3
from tokenizers import Tokenizer
from torch import nn


def weights_digest(model: nn.Module) -> str:
    """Return a digest of name, shape, dtype and all values of every tensor of a model; the same on every device."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(blake3(values).digest())
    return digest.hexdigest()


class HasVocabulary(Protocol):
    """A tokenizer of any library."""

    def get_vocab(self) -> dict[str, int]:
        """Return the ids of its tokens."""
        ...


def tokenizer_digest(tokenizer: HasVocabulary) -> str:
    """Return a digest of all that a fast tokenizer does; of another kind of tokenizer, of its class and vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if isinstance(backend, Tokenizer):
        record = json.loads(backend.to_str())
        # How batches are cut and padded is set anew by whoever encodes one.
        text = json.dumps({key: value for key, value in record.items() if key not in ("truncation", "padding")})
    else:
        text = repr((type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())))
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
