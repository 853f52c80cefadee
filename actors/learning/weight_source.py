"""Gather the learner's weights: in buckets of bounded size, or written as a Hugging Face folder.

Gathering is a collective: every rank goes through all buckets, in the same order and to the end, and only rank 0 gets
tensors. The tensors are those of a model without adapters, into which adapters are merged bucket by bucket, or the
adapters alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Protocol

import deepspeed
import torch
from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedModel

from actors.learning.background_files import Sums
from actors.learning.lora import base_parameters
from actors.learning.policy_model import dropouts
from actors.learning.weight_files import weight_files
from actors.weight_sync.buckets import Metadata, plan_buckets
from contracts.errors import BadInput, CheckpointFailed
from contracts.model_names import name_and_revision


class _Gathered(Protocol):
    """A tensor that is made from parameters which may be sharded."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> nn.Parameter:
        """Return the parameter that has the tensor's dtype and shape."""
        ...

    @property
    def tensors(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters that must be whole for `copied`, `weight` first."""
        ...

    def copied(self) -> torch.Tensor: ...


class GatheredSource:
    """Give tensors that are made from ZeRO-3 shards, as `LearnerWeights`."""

    def __init__(
        self, tensors: Sequence[_Gathered], *, rank: int, max_bucket_bytes: int, on_every_rank: bool = False
    ) -> None:
        """Plan the buckets, so that at most `max_bucket_bytes` are gathered at once.

        With `on_every_rank` all ranks get the tensors of each bucket, not only rank 0.
        """
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self._rank = rank
        self._gets_tensors = rank == 0 or on_every_rank
        gathered_too = {
            name: sum(_num_bytes(parameter) for parameter in tensor.tensors[1:])
            for name, tensor in self._tensors.items()
        }
        self._plan = plan_buckets(self.metadata(), max_bucket_bytes, extra_bytes=gathered_too)

    def metadata(self) -> Metadata:
        """Return name, dtype and full shape of every tensor, in the order of the buckets."""
        return [
            (name, tensor.weight.dtype, tuple(_full_shape(tensor.weight))) for name, tensor in self._tensors.items()
        ]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        """Yield for each bucket copies of its full tensors, and an empty list on a rank that gets none."""
        for names in self._plan:
            tensors = [self._tensors[name] for name in names]
            parameters = [parameter for tensor in tensors for parameter in tensor.tensors]
            with deepspeed.zero.GatheredParameters(_missing(parameters)):
                copies = [(tensor.name, tensor.copied()) for tensor in tensors if self._gets_tensors]
            yield copies


class ZeroWeightSource(GatheredSource):
    """Give the full parameters of a ZeRO-3 sharded model, under the names that its own checkpoint has."""

    def __init__(
        self,
        causal: PreTrainedModel,
        *,
        model: str,
        rank: int,
        max_bucket_bytes: int,
        trust_remote_code: bool = False,
        on_every_rank: bool = False,
    ) -> None:
        """Plan the buckets of `causal`, which already has its adapters; `model` is the folder or name it came from.

        With `on_every_rank` all ranks get the tensors of each bucket, not only rank 0.

        Raises:
            BadInput: transformers would refuse to write the model's generation config.
        """
        super().__init__(
            base_parameters(causal), rank=rank, max_bucket_bytes=max_bucket_bytes, on_every_rank=on_every_rank
        )
        self._causal = causal
        self._model = model
        self._trust_remote_code = trust_remote_code
        _make_generation_config_writable(causal, model)

    def export(self, folder: Path, *, chat_template: str = "") -> Sums:
        """Write weights, config, generation config and tokenizer, so that transformers and vLLM load the folder.

        A collective like `buckets`; returns the sums of the weight files on rank 0, and nothing on the other ranks.
        See `begin_export`.

        Raises:
            CheckpointFailed: rank 0 could not write, for example on a full disk. Raised on rank 0 only, after all
                collectives; the message names the folder.
        """
        return self.begin_export(folder, chat_template=chat_template)()

    def begin_export(self, folder: Path, *, chat_template: str = "") -> Callable[[], Sums]:
        """Gather the weights, and return what then writes the folder's weight files; all else is written here.

        `chat_template` is a text that replaces the tokenizer's own. A collective like `buckets`; rank 0 holds a copy of
        the whole model in host memory until the weight files are written. What is returned needs no other rank, and the
        weights may change before it is called. It raises CheckpointFailed too.

        Raises:
            CheckpointFailed: see `export`.
        """
        state: dict[str, torch.Tensor] = {}
        for bucket in self.buckets():
            state |= {name: tensor.cpu() for name, tensor in bucket if self._rank == 0}
        if self._rank != 0:
            return dict
        name, revision = name_and_revision(self._model)
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=self._trust_remote_code)
        published = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=self._trust_remote_code)
        if chat_template:
            tokenizer.chat_template = chat_template
        with _failing_as(folder):
            folder.mkdir(parents=True, exist_ok=True)  # transformers only logs an error if a file is in the way
            with _published_dropouts(self._causal.config, published), weight_files() as files:
                self._causal.save_pretrained(folder, state_dict=state)
            tokenizer.save_pretrained(folder)

        def write() -> Sums:
            with _failing_as(folder):
                return {str(file.path): file.write() for file in files}

        return write


@contextmanager
def _failing_as(folder: Path) -> Iterator[None]:
    """Raise what the body raises as CheckpointFailed: a full disk is an OSError or, from tokenizers, an Exception."""
    try:
        yield
    except Exception as failure:
        why = " ".join(str(failure).split()) or type(failure).__name__
        raise CheckpointFailed(f"{folder}: {why}") from failure


@contextmanager
def _published_dropouts(config: PretrainedConfig, published: PretrainedConfig) -> Iterator[None]:
    """Restore the published dropouts in the config: the learner switched them off, but an export must have them."""
    off = dropouts(config)
    for key, value in dropouts(published).items():
        setattr(config, key, value)
    try:
        yield
    finally:
        for key, value in off.items():
            setattr(config, key, value)


def _make_generation_config_writable(causal: PreTrainedModel, model: str) -> None:
    """Make the model's generation config one that transformers writes; checked at the start of a run, not at its end.

    Some published models set a temperature without `do_sample`: transformers reads such a config but refuses to write
    it.

    Raises:
        BadInput: the config has another fault.
    """
    settings = causal.generation_config
    if settings is None:
        return
    try:
        settings.validate(strict=True)
    except ValueError:
        settings.do_sample = True
    try:
        settings.validate(strict=True)
    except ValueError as error:
        raise BadInput(
            f"policy.model {model}: transformers refuses to write its generation config "
            f"({' '.join(str(error).split())}); correct generation_config.json in a copy of the model",
            key="policy.model",
        ) from None


def _missing(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters sharded now. Gathering a whole one (of a small model) would shard it afterwards."""
    return [parameter for parameter in parameters if getattr(parameter, "ds_status", None) != ZeroParamStatus.AVAILABLE]


def _full_shape(parameter: nn.Parameter) -> torch.Size:
    """Return the full shape: the own shape of a sharded parameter is that of an empty tensor."""
    return getattr(parameter, "ds_shape", parameter.shape)


def _num_bytes(parameter: nn.Parameter) -> int:
    return prod(_full_shape(parameter)) * parameter.dtype.itemsize
