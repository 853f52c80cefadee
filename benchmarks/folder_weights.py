"""A model folder's own tensors, given away as a learner would give them (actors/weight_buckets.LearnerWeights)."""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open

from actors.weight_sync.buckets import TensorSpec


class FolderWeights:
    """All tensors of a folder's safetensors files, in buckets."""

    def __init__(self, folder: str, *, bucket_bytes: int) -> None:
        self._tensors: dict[str, torch.Tensor] = {}
        for file in sorted(Path(folder).glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                self._tensors |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        if not self._tensors:
            raise ValueError(f"{folder} holds no *.safetensors; this benchmark needs a model in a local folder")
        self._bucket_bytes = bucket_bytes

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in self._tensors.items()]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        bucket: list[tuple[str, torch.Tensor]] = []
        free = self._bucket_bytes
        for name, tensor in self._tensors.items():
            size = TensorSpec.of(name, tensor.dtype, tensor.shape).num_bytes
            if bucket and size > free:
                yield bucket
                bucket, free = [], self._bucket_bytes
            bucket.append((name, tensor))
            free -= size
        if bucket:
            yield bucket
