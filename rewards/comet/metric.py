"""Score segments with a COMET checkpoint.

Each distinct segment is encoded once per call, so the source and the reference of a group are encoded once each. A
unified model reads pairs jointly: there each distinct pair is read once. No text is truncated: an input that does not
fit is refused.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rewards.comet.checkpoint import Checkpoint, open_checkpoint
from rewards.comet.feeding import CometInput
from rewards.comet.models import (
    CometNetwork,
    load_encoder_config,
    load_network,
    referenceless_features,
    regression_features,
)
from rewards.comet.tokens import SegmentTokenizer, TokenIds, load_tokenizer
from rewards.models.licence import licence_note

logger = logging.getLogger(__name__)

# Entries of an encoder's config that its output depends on, apart from the shapes of its weights.
_ENCODER_SHAPE = ("model_type", "num_attention_heads", "hidden_act", "layer_norm_eps", "max_position_embeddings")


def load_comet(
    folder_or_name: str,
    *,
    encoder: str | None = None,
    dtype: Literal["bfloat16", "float32"] = "float32",
    device: str = "cpu",
    batch_size: int = 16,
    cache_folder: Path = Path(".cache"),
) -> "CometMetric":
    """Load a model from its folder or the hub, and log its licence.

    `encoder` is the folder or name of the config and tokenizer; None is what hparams.yaml names. Weights come from the
    checkpoint alone. `cache_folder` receives the converted weights if the model's own folder can't be written.
    `batch_size` is in segments.

    Raises:
        ValueError: the model can't be found, read or supported; in one line.
    """
    checkpoint = open_checkpoint(folder_or_name, cache_folder=cache_folder)
    home = encoder or checkpoint.settings.pretrained_model
    if not home:
        raise ValueError(f"hparams.yaml of {folder_or_name} names no pretrained_model; set comet.encoder")
    network = load_network(checkpoint, load_encoder_config(home), dtype=dtype, device=device)
    metric = CometMetric(checkpoint, network, load_tokenizer(home), batch_size=batch_size)
    logger.log(logging.WARNING if "NOT" in metric.licence_note else logging.INFO, "%s", metric.licence_note)
    return metric


class CometMetric:
    """Compute raw scores with a loaded checkpoint. They are unbounded and on the checkpoint's own scale."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        network: CometNetwork,
        tokenizer: SegmentTokenizer,
        *,
        batch_size: int,
    ) -> None:
        """Take a loaded network; `batch_size` is in segments.

        Raises:
            ValueError: the batch size is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"comet.batch_size is {batch_size}; it must be at least 1")
        self._settings = checkpoint.settings
        self._network = network
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._device = network.mix.gamma.device
        # XLM-R counts positions from pad + 1 = 2 on. A lone segment may have two tokens less than a joint sequence:
        # that is how the models were trained.
        self._max_joint = int(network.encoder.config.max_position_embeddings) - 2
        self._max_segment = self._max_joint - 2
        self._num_scored = 0
        self.needs_reference = self._settings.needs_reference
        self.licence_note = licence_note(checkpoint.name, checkpoint.folder)
        self.fingerprint = _fingerprint(checkpoint, network, tokenizer)

    @property
    def num_scored(self) -> int:
        """Return how many inputs were scored since the start."""
        return self._num_scored

    def fits(self, inputs: Sequence[CometInput]) -> list[bool]:
        """Return for each of N inputs whether it can be read whole."""
        tokens = self._tokenize(inputs)
        return [self._excess(sample, tokens) == 0 for sample in inputs]

    def score(self, inputs: Sequence[CometInput]) -> NDArray[np.float64]:
        """Return the raw scores [N] in order.

        Raises:
            ValueError: an input does not fit, or lacks the reference that the model needs.
        """
        if not inputs:
            return np.zeros(0)
        tokens = self._tokenize(inputs)
        for place, sample in enumerate(inputs):
            self._check(place, sample, tokens)
        score = self._score_jointly if self._settings.kind == "unified_metric" else self._score_apart
        with torch.inference_mode():
            scores = score(inputs, tokens)
        self._num_scored += len(inputs)
        return scores

    def _score_apart(self, inputs: Sequence[CometInput], tokens: dict[str, TokenIds]) -> NDArray[np.float64]:
        """Score with a regression class: each text is embedded by itself."""
        vectors = self._embed([self._joined(tokens[text]) for text in tokens])
        places = {text: place for place, text in enumerate(tokens)}

        def rows(part: Callable[[CometInput], str], of: Sequence[CometInput]) -> torch.Tensor:
            return vectors[[places[part(sample)] for sample in of]]

        scores: list[torch.Tensor] = []
        for start in range(0, len(inputs), self._batch_size):
            batch = inputs[start : start + self._batch_size]
            translation, source = (
                rows(lambda sample: sample.translation, batch),
                rows(lambda sample: sample.source, batch),
            )
            if self._settings.kind == "regression_metric":
                features = regression_features(translation, source, rows(lambda sample: sample.reference, batch))
            else:
                features = referenceless_features(translation, source)
            scores.append(self._network.rate(features))
        return torch.cat(scores).double().cpu().numpy()

    def _score_jointly(self, inputs: Sequence[CometInput], tokens: dict[str, TokenIds]) -> NDArray[np.float64]:
        """Score with a unified model: translation and source in one sequence; with a reference, the mean of three."""
        sequences = [
            [self._joined(*(tokens[text] for text in texts)) for texts in self._sequences(sample)] for sample in inputs
        ]
        distinct = list(dict.fromkeys(sequence for passes in sequences for sequence in passes))
        scores = self._network.rate(self._embed(distinct)).double().cpu().numpy()
        places = {sequence: place for place, sequence in enumerate(distinct)}
        means = [np.mean([scores[places[sequence]] for sequence in passes]) for passes in sequences]
        return np.array(means, dtype=np.float64)

    def _sequences(self, sample: CometInput) -> list[tuple[str, ...]]:
        """Return the texts of each joint sequence, in order; the translation is first."""
        parts = {"mt": sample.translation, "src": sample.source, "ref": sample.reference}
        segments = self._settings.input_segments
        passes = [segments] if len(segments) == 2 else [("mt", "src"), ("mt", "ref"), segments]
        return [tuple(parts[segment] for segment in one_pass) for one_pass in passes]

    def _embed(self, sequences: Sequence[TokenIds]) -> torch.Tensor:
        """Return the vectors [N, D], float32, in order.

        Batches hold sequences of similar length. The longest come first, so that memory runs out at once or never.
        Ties are broken by the tokens: which texts share a batch depends on the set of texts alone.
        """
        order = sorted(range(len(sequences)), key=lambda place: (-len(sequences[place]), sequences[place]))
        vectors = torch.empty(len(sequences), self._network.encoder.config.hidden_size, device=self._device)
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            width = len(sequences[batch[0]])
            padded = [[*sequences[place], *[self._tokenizer.pad] * (width - len(sequences[place]))] for place in batch]
            token_ids = torch.tensor(padded, device=self._device)
            lengths = torch.tensor([len(sequences[place]) for place in batch], device=self._device)
            mask = (torch.arange(width, device=self._device) < lengths[:, None]).long()
            vectors[batch] = self._network.embed(token_ids, mask)
        return vectors

    def _tokenize(self, inputs: Sequence[CometInput]) -> dict[str, TokenIds]:
        """Return the tokens of each distinct text that the model reads, without special ones."""
        texts = [text for sample in inputs for text in self._texts(sample)]
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, self._tokenizer.encode(distinct), strict=True))

    def _texts(self, sample: CometInput) -> tuple[str, ...]:
        if self.needs_reference:
            return (sample.source, sample.translation, sample.reference)
        return (sample.source, sample.translation)

    def _joined(self, *segments: TokenIds) -> TokenIds:
        """Return `<s> a </s>`, or `<s> a </s></s> b </s>`: XLM-R separates segments in this way."""
        joined = [self._tokenizer.begin, *segments[0], self._tokenizer.end]
        for segment in segments[1:]:
            joined += [self._tokenizer.end, *segment, self._tokenizer.end]
        return tuple(joined)

    def _excess(self, sample: CometInput, tokens: dict[str, TokenIds]) -> int:
        """Return by how many tokens the longest sequence of this input is above the limit."""
        if self._settings.kind == "unified_metric":
            longest = max(len(self._joined(*(tokens[text] for text in texts))) for texts in self._sequences(sample))
            return max(0, longest - self._max_joint)
        longest = max(len(tokens[text]) for text in self._texts(sample)) + 2
        return max(0, longest - self._max_segment)

    def _check(self, place: int, sample: CometInput, tokens: dict[str, TokenIds]) -> None:
        if self.needs_reference and not sample.reference:
            raise ValueError(
                f"input {place} has no reference; a {self._settings.kind} needs one: choose another feeding"
            )
        if excess := self._excess(sample, tokens):
            limit = self._max_joint if self._settings.kind == "unified_metric" else self._max_segment
            raise ValueError(
                f"input {place} is {excess} tokens longer than the {limit} that the model reads at once; split both "
                "sides into aligned segments"
            )


def _fingerprint(checkpoint: Checkpoint, network: CometNetwork, tokenizer: SegmentTokenizer) -> str:
    """Return a digest of weights, settings, encoder config, dtype and tokenizer."""
    parts = (
        checkpoint.sha256,
        sorted(asdict(checkpoint.settings).items()),
        [getattr(network.encoder.config, name) for name in _ENCODER_SHAPE],
        str(network.encoder.dtype),
        tokenizer.fingerprint,
    )
    return f"comet-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
