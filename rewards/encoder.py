"""A sentence-transformers model as an `Encoder` (rewards/similarity.py).

Owns the model, its device and a bounded cache of vectors; the one module of rewards that imports torch. Each distinct
text is encoded once per call, in batches of similar length, and not at all while its vector is in the cache: a
reference serves every language of its item, call after call.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderStats:
    """Counters since the start."""

    num_texts: int = 0  # asked for
    num_encoded: int = 0  # not found in the cache, so run through the model
    num_tokens: int = 0  # of the encoded texts, as far as the model reads
    num_truncated_texts: int = 0  # longer than the model reads
    num_truncated_tokens: int = 0  # beyond what the model reads


class SentenceEncoder:
    """Normalised float32 embeddings of texts."""

    def __init__(
        self,
        model: str,
        *,
        text_prefix: str,
        batch_size: int,
        dtype: Literal["bfloat16", "float32"],
        device: str,
        cache_size: int = 8192,
    ) -> None:
        self._model = SentenceTransformer(model, device=device, model_kwargs={"dtype": dtype})
        self._text_prefix = text_prefix
        self._batch_size = batch_size
        self._cache_size = cache_size
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._stats = EncoderStats()

    @property
    def stats(self) -> EncoderStats:
        return self._stats

    def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        """[N, D], one row of length 1 per text, in order; each distinct text is encoded once.

        `remember` keeps the vectors for later calls: for references, which come again.
        """
        distinct = dict.fromkeys(texts)
        missing = [text for text in distinct if text not in self._cache]
        vectors = {text: self._recall(text) for text in distinct if text in self._cache}
        vectors.update(self._encode_missing(missing))
        self._stats = replace(self._stats, num_texts=self._stats.num_texts + len(texts))
        if remember:
            for text in missing:
                self._remember(text, vectors[text])
        if not texts:
            return np.zeros((0, self._model.get_embedding_dimension() or 0), dtype=np.float32)
        return np.stack([vectors[text] for text in texts])

    def _encode_missing(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        if not texts:
            return {}
        lengths = self._count_tokens(texts)
        order = sorted(range(len(texts)), key=lambda index: lengths[index], reverse=True)
        embeddings = self._model.encode(
            [self._text_prefix + texts[index] for index in order],
            prompt="",  # text_prefix alone decides, also for a model that brings prompts of its own
            batch_size=self._batch_size,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        if not isinstance(embeddings, torch.Tensor):
            raise TypeError(f"the encoder gave {type(embeddings).__name__}, not one tensor; it is no sentence encoder")
        # Normalised in float32: in bfloat16 a vector's length is off by up to a percent.
        unit = torch.nn.functional.normalize(embeddings.float(), dim=-1).cpu().numpy()
        return {texts[index]: unit[position] for position, index in enumerate(order)}

    def _count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text with its prefix, special ones included; counts what the model will not read."""
        limit = self._model.max_seq_length
        encoded = self._model.tokenizer([self._text_prefix + text for text in texts], truncation=False, verbose=False)
        lengths = [len(token_ids) for token_ids in encoded["input_ids"]]
        excess = [max(0, length - limit) if limit else 0 for length in lengths]
        self._stats = replace(
            self._stats,
            num_encoded=self._stats.num_encoded + len(texts),
            num_tokens=self._stats.num_tokens + sum(lengths) - sum(excess),
            num_truncated_texts=self._stats.num_truncated_texts + sum(count > 0 for count in excess),
            num_truncated_tokens=self._stats.num_truncated_tokens + sum(excess),
        )
        return lengths

    def _recall(self, text: str) -> NDArray[np.float32]:
        self._cache.move_to_end(text)
        return self._cache[text]

    def _remember(self, text: str, vector: NDArray[np.float32]) -> None:
        self._cache[text] = vector.copy()  # not a view that keeps its whole batch alive
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
