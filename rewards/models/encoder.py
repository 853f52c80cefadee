"""Encode texts with a sentence-transformers model.

Each distinct text is encoded once per call, in batches of similar length, and not at all while its vector is in a
bounded cache: one reference serves every language of its item, call after call.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from contracts.errors import BadInput
from contracts.fingerprints import model_fingerprint
from contracts.model_names import name_and_revision
from contracts.user_files import guarded
from rewards.models.digests import tokenizer_digest, weights_digest

CALL_TOKENS = {"cpu": 64}
OTHER_CALL_TOKENS = 4096
"""Cost of one more call of the model, in tokens that it could have read in that time. It is small on a CPU, where
padding is real work (measured: 40 to 80 cost the same, e5-small on two cores); a GPU reads thousands of tokens
meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderStats:
    """Hold counters since the start."""

    num_texts: int = 0  # passed to `encode`
    num_encoded: int = 0  # not found in the cache, so run through the model
    num_tokens: int = 0  # of the encoded texts, as far as the model reads
    num_truncated_texts: int = 0  # longer than the model reads
    num_truncated_tokens: int = 0  # beyond what the model reads


class SentenceEncoder:
    """Compute normalised float32 embeddings of texts."""

    def __init__(  # noqa: PLR0913 - the settings of [scorer], and one of tests
        self,
        model: str,
        *,
        text_prefix: str,
        batch_size: int,
        dtype: Literal["bfloat16", "float32"],
        device: str,
        cache_size: int = 8192,
        trust_remote_code: bool = False,
    ) -> None:
        """Load `model`, a hub name or folder. `batch_size` is in texts, `cache_size` in vectors.

        Raises:
            BadInput: it can't be loaded, or is of a kind that is not supported.
        """
        name, revision = name_and_revision(model)
        with guarded(
            f"scorer.model = {model!r} can't be loaded",
            key="scorer.model",
            way_out="give a sentence-transformers model (one with code of its own needs scorer.trust_remote_code=true)",
        ):
            self._model = SentenceTransformer(
                name,
                revision=revision,
                device=device,
                model_kwargs={"dtype": dtype},
                trust_remote_code=trust_remote_code,
            )
        if not isinstance(self._model.tokenizer, Tokenizer | PreTrainedTokenizerBase):
            raise BadInput(
                f"scorer.model = {model!r} reads with a {type(self._model.tokenizer).__name__}, which can't count "
                "tokens; choose an encoder of text with a Hugging Face tokenizer",
                key="scorer.model",
            )
        self._text_prefix = text_prefix
        code = model_fingerprint(model, with_code=True) if trust_remote_code else ""
        self._fingerprint = _fingerprint(self._model, text_prefix=text_prefix, dtype=dtype, code=code)
        self._batch_size = batch_size
        self._call_tokens = CALL_TOKENS.get(device, OTHER_CALL_TOKENS)
        self._cache_size = cache_size
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lengths: dict[str, int] = {}  # of the texts that were counted last, so that `encode` need not count them
        self._stats = EncoderStats()

    @property
    def fingerprint(self) -> str:
        """Return a digest of weights, pooling, prefix, precision and longest text; the same on every machine."""
        return self._fingerprint

    @property
    def max_tokens(self) -> int:
        """Return the longest text that is read whole, in tokens, prefix and special ones included; 0 is no limit."""
        longest = self._model.max_seq_length or 0
        return 0 if math.isinf(longest) else int(longest)  # infinite: a static encoder, which adds up vectors of tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens [N] of each text, prefix and special ones included, even beyond what the model reads."""
        if any(text not in self._lengths for text in texts):
            distinct = list(dict.fromkeys(texts))
            prefixed = [self._text_prefix + text for text in distinct]
            self._lengths = dict(zip(distinct, self._counts(prefixed), strict=True))
        return [self._lengths[text] for text in texts]

    def _counts(self, texts: Sequence[str]) -> list[int]:
        tokenizer = self._model.tokenizer
        if isinstance(tokenizer, Tokenizer):  # of a static encoder, which reads no special tokens
            return [len(found.ids) for found in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        encoded = tokenizer(list(texts), truncation=False, verbose=False)
        return [len(token_ids) for token_ids in encoded["input_ids"]]

    @property
    def stats(self) -> EncoderStats:
        """Return the counters since the start."""
        return self._stats

    def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        """Return [N, D]: one row of length 1 per text, in order. Each distinct text is encoded once.

        `remember` keeps the vectors for later calls; use it for references, which come again.

        Raises:
            TypeError: the model is no sentence encoder.
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
        lengths = self._read_tokens(texts)
        order = sorted(range(len(texts)), key=lambda index: lengths[index], reverse=True)
        batches = plan_batches(
            [lengths[index] for index in order], max_texts=self._batch_size, call_tokens=self._call_tokens
        )
        unit = np.concatenate([self._encode_batch([texts[index] for index in order[batch]]) for batch in batches])
        return {texts[index]: unit[position] for position, index in enumerate(order)}

    def _encode_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return [N, D] of texts that go through the model together."""
        embeddings = self._model.encode(
            [self._text_prefix + text for text in texts],
            prompt="",  # text_prefix alone decides, also for a model that brings prompts of its own
            batch_size=len(texts),
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        if not isinstance(embeddings, torch.Tensor):
            raise TypeError(f"the encoder gave {type(embeddings).__name__}, not one tensor; it is no sentence encoder")
        # Normalised in float32: in bfloat16 a vector's length is off by up to a percent.
        return torch.nn.functional.normalize(embeddings.float(), dim=-1).cpu().numpy()

    def _read_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens [N] that the model reads of each text; count the rest in the stats."""
        limit = self.max_tokens
        lengths = self.count_tokens(texts)
        excess = [max(0, length - limit) if limit else 0 for length in lengths]
        self._stats = replace(
            self._stats,
            num_encoded=self._stats.num_encoded + len(texts),
            num_tokens=self._stats.num_tokens + sum(lengths) - sum(excess),
            num_truncated_texts=self._stats.num_truncated_texts + sum(count > 0 for count in excess),
            num_truncated_tokens=self._stats.num_truncated_tokens + sum(excess),
        )
        return [length - beyond for length, beyond in zip(lengths, excess, strict=True)]

    def _recall(self, text: str) -> NDArray[np.float32]:
        self._cache.move_to_end(text)
        return self._cache[text]

    def _remember(self, text: str, vector: NDArray[np.float32]) -> None:
        """Keep a vector [D] unless it is not finite: the next call may do better."""
        if not np.isfinite(vector).all():
            return
        self._cache[text] = vector.copy()  # not a view that keeps its whole batch alive
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)


def _fingerprint(model: SentenceTransformer, *, text_prefix: str, dtype: str, code: str) -> str:
    """Return a digest of the model's structure, its tokenizer and every weight."""
    modules = [(type(module).__name__, repr(module)) for module in model]
    digest = hashlib.blake2b(repr((modules, model.max_seq_length, text_prefix, dtype)).encode(), digest_size=8)
    digest.update(tokenizer_digest(model.tokenizer).encode())
    digest.update(weights_digest(model).encode())
    digest.update(code.encode())
    return digest.hexdigest()


def plan_batches(lengths: Sequence[int], *, max_texts: int, call_tokens: int) -> list[slice]:
    """Return the batches, as slices, that cost least for texts of these `lengths` [N] in tokens, longest first.

    Every text is padded to the first of its batch, and every batch costs `call_tokens` more. A batch has at most
    `max_texts` texts.
    """
    num_texts = len(lengths)
    cost = [0] * (num_texts + 1)  # of the texts from here on
    end = [num_texts] * num_texts  # where the batch that begins here ends
    for start in reversed(range(num_texts)):
        ends = range(start + 1, min(num_texts, start + max_texts) + 1)
        end[start] = min(ends, key=lambda stop: lengths[start] * (stop - start) + cost[stop])
        cost[start] = lengths[start] * (end[start] - start) + call_tokens + cost[end[start]]
    batches: list[slice] = []
    start = 0
    while start < num_texts:
        batches.append(slice(start, end[start]))
        start = end[start]
    return batches
