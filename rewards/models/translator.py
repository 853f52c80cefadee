"""Translate texts with a seq2seq model of the NLLB or M2M-100 family.

A text is translated sentence by sentence, as these models were trained. A sentence of more than `max_tokens` is cut
between words. A sentence without a letter (a formula) stays as it is, with its digits made ASCII. Nothing is left out:
a translation that the model did not end is counted and logged. Translations of segments are kept in a bounded cache.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from contracts.model_names import name_and_revision
from languages.facts import LANGUAGES
from rewards.answers.numbers import fold
from rewards.models.digests import tokenizer_digest, weights_digest
from rewards.texts.chunks import cut_text, split_sentences

log = logging.getLogger(__name__)

ROOM = 16
"""Tokens that a translation may have beyond twice its source's. Short sentences grow most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TranslatorStats:
    """Hold counters since the start."""

    num_texts: int = 0  # passed to `translate`
    num_segments: int = 0  # that went through the model: not in the cache
    num_unfinished: int = 0  # of these, the translations that reached their limit without an end


class Seq2SeqTranslator:
    """Translate greedily: a text has the same translation whatever other texts are asked for, up to rounding."""

    def __init__(
        self,
        model: str,
        *,
        batch_size: int,
        max_tokens: int,
        dtype: Literal["bfloat16", "float32"],
        device: str,
        cache_size: int = 16384,
    ) -> None:
        """Load `model`, a hub name or folder. `batch_size` and `cache_size` are in segments.

        Raises:
            ValueError: the model names no languages, such as one made for a single pair.
        """
        self._name = model
        name, revision = name_and_revision(model)
        self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, revision=revision)
        loaded = AutoModelForSeq2SeqLM.from_pretrained(name, revision=revision, dtype=getattr(torch, dtype))
        self._model = cast("PreTrainedModel", loaded.to(device).eval())
        digests = f"{weights_digest(self._model)};{tokenizer_digest(self._tokenizer)}"
        self._model.generation_config.max_length = None  # each batch has a limit of its own
        self._device = device
        self._batch_size = batch_size
        positions = getattr(self._model.config, "max_position_embeddings", None) or 1024
        self._max_new_tokens = positions - 2
        self._max_tokens = min(max_tokens, positions - 2)  # besides language code and end
        self._cache_size = cache_size
        self._cache: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        self._stats = TranslatorStats()
        self._code_id("en")  # raises here, not when the first group is scored
        self.fingerprint = f"seq2seq({digests};{self._max_tokens};{dtype})"

    @property
    def stats(self) -> TranslatorStats:
        """Return the counters since the start."""
        return self._stats

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return one translation per text, in order; lines stay lines. Languages are ISO 639-1 codes.

        Raises:
            ValueError: the model does not know one of the languages.
        """
        source_id, target_id = self._code_id(source), self._code_id(target)
        lines = [[self._segments(line) for line in text.splitlines()] for text in texts]
        wanted = dict.fromkeys(segment for text in lines for line in text for segment in line if _has_letter(segment))
        known = {segment: self._cache[key] for segment in wanted if (key := (source, target, segment)) in self._cache}
        missing = [segment for segment in wanted if segment not in known]
        known.update(self._translate_missing(missing, source_id=source_id, target_id=target_id))
        for segment in wanted:
            self._remember((source, target, segment), known[segment])
        self._stats = replace(self._stats, num_texts=self._stats.num_texts + len(texts))
        return [
            "\n".join(" ".join(known.get(segment, fold(segment)) for segment in line) for line in text)
            for text in lines
        ]

    def _segments(self, line: str) -> list[str]:
        """Return the sentences of a line; one that is too long comes in parts."""
        return [
            chunk.text
            for sentence in split_sentences(line)
            for chunk in cut_text(sentence, count=self._count, target=self._max_tokens, limit=self._max_tokens)
        ]

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [len(self._token_ids(text)) for text in texts]

    def _translate_missing(self, segments: Sequence[str], *, source_id: int, target_id: int) -> dict[str, str]:
        tokens = {segment: self._token_ids(segment) for segment in segments}
        longest_first = sorted(segments, key=lambda segment: len(tokens[segment]), reverse=True)
        translated: dict[str, str] = {}
        for start in range(0, len(longest_first), self._batch_size):
            batch = longest_first[start : start + self._batch_size]
            # Both families read "<language> tokens </s>".
            rows = [[source_id, *tokens[segment], self._tokenizer.eos_token_id] for segment in batch]
            translated.update(zip(batch, self._generate(rows, target_id), strict=True))
        return translated

    @torch.inference_mode()
    def _generate(self, rows: Sequence[Sequence[int]], target_id: int) -> list[str]:
        longest = max(len(row) for row in rows)
        pad, end = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        padded = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=self._device)
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        drawn = self._model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=padded,
            attention_mask=(torch.arange(longest, device=self._device) < lengths[:, None]).long(),
            forced_bos_token_id=target_id,
            max_new_tokens=self._limit(longest),
            num_beams=1,
            do_sample=False,
            early_stopping=False,
        )
        # Skip the decoder's start and the language code, and take no more than the text could have had alone.
        translations = [row[2 : 1 + self._limit(len(source))] for row, source in zip(drawn.tolist(), rows, strict=True)]
        unfinished = sum(end not in row for row in translations)
        if unfinished:
            log.warning("%d of %d translations reached the token limit and are cut off", unfinished, len(rows))
        self._stats = replace(
            self._stats,
            num_segments=self._stats.num_segments + len(rows),
            num_unfinished=self._stats.num_unfinished + unfinished,
        )
        return [cast("str", self._tokenizer.decode(row, skip_special_tokens=True)).strip() for row in translations]

    def _limit(self, source_tokens: int) -> int:
        """Return the most tokens that are drawn for a segment, language code included."""
        return min(2 * source_tokens + ROOM, self._max_new_tokens)

    def _token_ids(self, text: str) -> list[int]:
        return cast("list[int]", self._tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def _code_id(self, language: str) -> int:
        """Return the token id that names a language.

        NLLB has FLORES-200 codes, M2M-100 has ISO 639-1 codes in underscores.
        """
        codes = [LANGUAGES[language].flores, f"__{language}__"] if language in LANGUAGES else [f"__{language}__"]
        for code in codes:
            found = self._tokenizer.convert_tokens_to_ids(code)
            if isinstance(found, int) and found != self._tokenizer.unk_token_id:
                return found
        raise ValueError(
            f"translator {self._name!r} does not know the language {language!r}: its vocabulary has no "
            f"{' and no '.join(codes)}; give a model of the NLLB or M2M-100 family that was trained on it"
        )

    def _remember(self, key: tuple[str, str, str], translation: str) -> None:
        self._cache[key] = translation
        self._cache.move_to_end(key)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)


def _has_letter(text: str) -> bool:
    return any(character.isalpha() for character in text)
