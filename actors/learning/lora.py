"""Low-rank adapters on the policy: added before training, switched off for the reference model, merged on the way out.

Owns which layers get one, their first values, and the formula that merges them: W + (alpha / rank) B A (Hu 2021,
arXiv 2106.09685). Knows peft and transformers; must not know ZeRO-3, though it works on parameters that are sharded
already: their shapes are read from the layers, never from the weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import peft
import torch
from peft.tuners.lora import Linear as AdaptedLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from contracts.config.learning import LoraConfig
from contracts.errors import BadInput

_ADAPTER = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """What one layer's weight has on top."""

    a: nn.Parameter  # [rank, in]
    b: nn.Parameter  # [out, rank]
    scale: float  # alpha / rank
    is_transposed: bool  # the layer keeps its weight as [in, out]

    def merged(self, weight: Tensor) -> Tensor:
        """`weight` + scale B A, summed in fp32 and rounded once, to the weight's dtype. All three must be whole."""
        low_rank = self.b.detach().float() @ self.a.detach().float()
        if self.is_transposed:
            low_rank = low_rank.T
        return torch.add(weight.detach().float(), low_rank, alpha=self.scale).to(weight.dtype)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseParameter:
    """A parameter of the model without adapters, under the name that it has there."""

    name: str
    weight: nn.Parameter
    adapter: Adapter | None

    @property
    def tensors(self) -> tuple[nn.Parameter, ...]:
        """All that must be whole to give it away."""
        return (self.weight,) if self.adapter is None else (self.weight, self.adapter.a, self.adapter.b)

    def copied(self) -> Tensor:
        """Its value with the adapter merged in, in memory of its own."""
        return self.weight.detach().clone() if self.adapter is None else self.adapter.merged(self.weight)


def add_adapters(causal: PreTrainedModel, config: LoraConfig, *, seed: int) -> PreTrainedModel:
    """Put adapters on the linear layers, in place, and freeze everything else. Returns the same model.

    The model's class, its base model and its output head stay what they were. B starts at 0, so the first forward is
    the base model's; A is drawn from `seed`, the same on every rank. Adapters have the base's dtype: one
    DeepSpeed engine gathers and reduces one dtype, and its optimiser keeps fp32 master weights of all that is trained.
    Checkpointed layers learn too, though the embedding before them is frozen: transformers makes its output ask for a
    gradient when checkpointing is switched on.

    Raises:
        BadInput: a target that is no linear layer, or the output head, or of a kind that can't be merged.
    """
    layers = _target_layers(causal, config.targets)
    settings = peft.LoraConfig(
        r=config.rank,
        # Annotated as a whole number; it is only ever divided by r.
        lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=config.dropout,
        target_modules=list(layers),
        fan_in_fan_out=all(isinstance(layer, Conv1D) for layer in layers.values()),
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(settings, causal, adapter_name=_ADAPTER)
    adapted = _adapters(causal)
    assert adapted.keys() == layers.keys(), "peft chose other layers than it was told"
    for parameter in base_parameters(causal):
        assert not parameter.weight.requires_grad, f"{parameter.name} is not frozen"
    return causal


@contextmanager
def adapters_off(causal: PreTrainedModel) -> Iterator[None]:
    """Inside, a forward's result is the base model's, exactly. For passes in eval mode: the reference model's.

    Their scale is 0 then; they are computed all the same. ZeRO-3 gathers ahead in the order of modules that it has
    seen, and forgets it, with what it holds, when a pass leaves some of them out.
    """
    layers = [module for module in causal.modules() if isinstance(module, AdaptedLinear)]
    for layer in layers:
        layer.set_scale(_ADAPTER, 0)
    try:
        yield
    finally:
        for layer in layers:
            layer.set_scale(_ADAPTER, 1)  # times alpha / rank


def base_parameters(causal: PreTrainedModel) -> list[BaseParameter]:
    """The parameters of the model without adapters, in its own order, tied ones once, each with what it has on top.

    For a model with or without adapters.
    """
    adapters = _adapters(causal)
    inside = {f"{layer}.base_layer.weight": layer for layer in adapters}
    return [
        BaseParameter(
            name=_base_name(name, adapters),
            weight=parameter,
            adapter=adapters[inside[name]] if name in inside else None,
        )
        # named_parameters leaves out the second name of a tied parameter, and is in the same order on every rank.
        for name, parameter in causal.named_parameters()
        if not _is_of_adapter(name, adapters)
    ]


def _target_layers(causal: PreTrainedModel, targets: tuple[str, ...]) -> dict[str, nn.Module]:
    """Path -> layer, for what `targets` names: all linear layers but the output head where it names nothing."""
    head = causal.get_output_embeddings()
    linear: dict[str, nn.Module] = {
        path: layer for path, layer in causal.named_modules() if isinstance(layer, nn.Linear | Conv1D)
    }
    allowed = {path: layer for path, layer in linear.items() if layer is not head}
    chosen: dict[str, nn.Module] = {}
    for target in targets:
        named = {path: layer for path, layer in linear.items() if _is_named(path, target)}
        if not named:
            known = ", ".join(dict.fromkeys(path.rpartition(".")[2] for path in allowed))
            raise BadInput(f"learner.lora.targets: no linear layer of the policy is called {target!r}; it has {known}")
        if any(layer is head for layer in named.values()):
            raise BadInput(f"learner.lora.targets: {target!r} is the output head, which takes no adapter; leave it out")
        chosen |= named
    return chosen if targets else allowed


def _is_named(path: str, target: str) -> bool:
    return path == target or path.endswith(f".{target}")


def _adapters(causal: PreTrainedModel) -> dict[str, Adapter]:
    """Path of a layer -> its adapter."""
    return {
        path: _adapter_of(layer, path) for path, layer in causal.named_modules() if isinstance(layer, BaseTunerLayer)
    }


def _adapter_of(layer: BaseTunerLayer, path: str) -> Adapter:
    # peft has other kinds for embeddings, convolutions and quantised weights, and variants of this one.
    if type(layer) is not AdaptedLinear or layer.lora_variant:
        raise BadInput(
            f"learner.lora: the adapter of {path} ({type(layer).__name__}) can't be merged into its weight; "
            "leave that layer out of learner.lora.targets"
        )
    return Adapter(
        a=layer.lora_A[_ADAPTER].get_parameter("weight"),
        b=layer.lora_B[_ADAPTER].get_parameter("weight"),
        scale=layer.lora_alpha[_ADAPTER] / layer.r[_ADAPTER],  # `scaling` is 0 while adapters are off
        is_transposed=layer.fan_in_fan_out,
    )


def _is_of_adapter(name: str, adapters: dict[str, Adapter]) -> bool:
    layer, _, rest = name.partition(".lora_")
    return bool(rest) and layer in adapters


def _base_name(name: str, adapters: dict[str, Adapter]) -> str:
    layer, _, own = name.rpartition(".base_layer.")
    return f"{layer}.{own}" if layer in adapters else name
