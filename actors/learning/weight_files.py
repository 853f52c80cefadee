"""Write a model's safetensors files with their checksums, without holding Python's interpreter lock.

safetensors' own writer keeps the lock for the whole file. While many gigabytes are written no other thread of the
process would run, and a process without a heartbeat counts as dead.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import modeling_utils

from contracts.sealed_folder import FileSum, SummedFile

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names of the types in a safetensors header."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightFile:
    """Hold the content of a safetensors file that is not written yet."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def write(self) -> FileSum:
        """Write the file. Format: length of the header (8 bytes, little-endian), header (JSON), then the tensors.

        The tensors are in the order in which safetensors itself writes them: types of more bytes first, then by name.

        Raises:
            OSError: the disk is full, or failed.
        """
        tensors = sorted(self.tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
        header: dict[str, object] = {"__metadata__": dict(self.metadata)}
        end = 0
        for name, tensor in tensors:
            start, end = end, end + tensor.nbytes
            header[name] = {
                "dtype": _DTYPES[tensor.dtype],
                "shape": list(tensor.shape),
                "data_offsets": [start, end],
            }
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        with SummedFile(self.path) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, tensor in tensors:
                file.write(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return file.sum


@contextmanager
def weight_files() -> Iterator[list[WeightFile]]:
    """Collect the weight files that transformers' `save_pretrained` would write in the body, and write none of them."""
    found: list[WeightFile] = []

    def collect(tensors: Mapping[str, Tensor], filename: str, metadata: Mapping[str, str]) -> None:
        found.append(WeightFile(path=Path(filename), tensors=dict(tensors), metadata=metadata))

    before = modeling_utils.safe_save_file  # pyright: ignore[reportPrivateImportUsage]
    modeling_utils.safe_save_file = collect  # pyright: ignore[reportPrivateImportUsage]
    try:
        yield found
    finally:
        modeling_utils.safe_save_file = before  # pyright: ignore[reportPrivateImportUsage]
