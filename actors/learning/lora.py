"""Train the policy with low-rank adapters (LoRA): add them, switch them off for the reference model, and merge them.

The merged weight is W + (alpha / rank) B A (Hu et al. 2021, arXiv 2106.09685, section 4.1). Parameters may be sharded
already: shapes are read from the layers, never from the weights. Must not import DeepSpeed.
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

from actors.weight_sync.adapter_layout import adapter_name
from contracts.config.learning import LoraConfig
from contracts.errors import BadInput

_ADAPTER = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """Hold the adapter of one layer."""

    a: nn.Parameter  # [rank, in]
    b: nn.Parameter  # [out, rank]
    scale: float  # alpha / rank
    is_transposed: bool  # the layer keeps its weight as [in, out]

    def merged(self, weight: Tensor) -> Tensor:
        """Return `weight` + scale B A, summed in fp32 and rounded once to the weight's dtype. All three must be whole.

        `weight` and the result are [out, in], or [in, out] if the layer is transposed.
        """
        low_rank = self.b.detach().float() @ self.a.detach().float()
        if self.is_transposed:
            low_rank = low_rank.T
        return torch.add(weight.detach().float(), low_rank, alpha=self.scale).to(weight.dtype)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseParameter:
    """Hold a parameter of the model without adapters, under the name that it has there."""

    name: str
    weight: nn.Parameter
    adapter: Adapter | None

    @property
    def tensors(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters that must be whole for `copied`."""
        return (self.weight,) if self.adapter is None else (self.weight, self.adapter.a, self.adapter.b)

    def copied(self) -> Tensor:
        """Return a copy of the value with the adapter merged in, [out, in] or transposed, like `weight`."""
        return self.weight.detach().clone() if self.adapter is None else self.adapter.merged(self.weight)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterTensor:
    """Hold one half of an adapter, under the name that peft gives it in a file."""

    name: str
    weight: nn.Parameter
    scale: float

    @property
    def tensors(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters that must be whole for `copied`."""
        return (self.weight,)

    def copied(self) -> Tensor:
        """Return a copy of the value times the scale, rounded once."""
        value = self.weight.detach()
        return value.clone() if self.scale == 1 else (value.float() * self.scale).to(value.dtype)


def add_adapters(causal: PreTrainedModel, config: LoraConfig, *, seed: int) -> PreTrainedModel:
    """Put adapters on the linear layers, in place, freeze everything else, and return the same model.

    The model's class, its base model and its output head stay unchanged. B starts at 0, so the first forward pass is
    that of the base model. A is drawn from `seed`, the same on every rank. Adapters have the base's dtype: a DeepSpeed
    engine gathers and reduces one dtype, and its optimiser keeps fp32 master weights of all trained parameters. Layers
    with gradient checkpointing also learn, although the embedding before them is frozen: transformers makes the
    embedding's output require a gradient when checkpointing is switched on.

    Raises:
        BadInput: a target is not a linear layer, is the output head, or can't be merged.
    """
    layers = _target_layers(causal, () if config.targets == "all" else config.targets)
    settings = peft.LoraConfig(
        r=config.rank,
        # peft annotates this as an integer, but only divides it by r.
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
    assert adapted.keys() == layers.keys(), "peft put adapters on other layers than the targets"
    for parameter in base_parameters(causal):
        assert not parameter.weight.requires_grad, f"{parameter.name} is not frozen"
    return causal


@contextmanager
def adapters_off(causal: PreTrainedModel) -> Iterator[None]:
    """Switch the adapters off: inside, a forward pass gives exactly the base model's result. For passes in eval mode.

    Their scale is set to 0, and they are still computed. ZeRO-3 prefetches in the order of modules that it has seen,
    and forgets this order, with what it has gathered, when a pass leaves some modules out.
    """
    layers = [module for module in causal.modules() if isinstance(module, AdaptedLinear)]
    for layer in layers:
        layer.set_scale(_ADAPTER, 0)
    try:
        yield
    finally:
        for layer in layers:
            layer.set_scale(_ADAPTER, 1)  # multiplied by alpha / rank


def base_parameters(causal: PreTrainedModel) -> list[BaseParameter]:
    """Return the parameters of the model without adapters, in its own order, tied ones once, each with its adapter.

    The model may have adapters or not.
    """
    adapters = _adapters(causal)
    inside = {f"{layer}.base_layer.weight": layer for layer in adapters}
    return [
        BaseParameter(
            name=_base_name(name, adapters),
            weight=parameter,
            adapter=adapters[inside[name]] if name in inside else None,
        )
        # named_parameters leaves out the second name of a tied parameter, and has the same order on every rank.
        for name, parameter in causal.named_parameters()
        if not _is_of_adapter(name, adapters)
    ]


def adapter_tensors(causal: PreTrainedModel) -> list[AdapterTensor]:
    """Return A [rank, in] and (alpha / rank) B [out, rank] of every layer with an adapter, in the model's order."""
    return [
        tensor
        for layer, adapter in _adapters(causal).items()
        for tensor in (
            AdapterTensor(name=adapter_name(layer, "A"), weight=adapter.a, scale=1.0),
            AdapterTensor(name=adapter_name(layer, "B"), weight=adapter.b, scale=adapter.scale),
        )
    ]


def _target_layers(causal: PreTrainedModel, targets: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return path -> layer for the layers that `targets` names; without targets, all linear layers but the output head.

    Raises:
        BadInput: a target names no linear layer, or the output head.
    """
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
            raise BadInput(
                f"learner.lora.targets: the policy has no linear layer with the name {target!r}; it has {known}",
                key="learner.lora.targets",
            )
        if any(layer is head for layer in named.values()):
            raise BadInput(
                f"learner.lora.targets: {target!r} is the output head, which can't have an adapter; leave it out",
                key="learner.lora.targets",
            )
        chosen |= named
    return chosen if targets else allowed


def _is_named(path: str, target: str) -> bool:
    return path == target or path.endswith(f".{target}")


def _adapters(causal: PreTrainedModel) -> dict[str, Adapter]:
    """Return path of a layer -> its adapter."""
    return {
        path: _adapter_of(layer, path) for path, layer in causal.named_modules() if isinstance(layer, BaseTunerLayer)
    }


def _adapter_of(layer: BaseTunerLayer, path: str) -> Adapter:
    # peft has other kinds of adapters for embeddings, convolutions and quantised weights, and variants of this kind.
    if type(layer) is not AdaptedLinear or layer.lora_variant:
        raise BadInput(
            f"learner.lora: the adapter of {path} ({type(layer).__name__}) can't be merged into its weight; "
            "leave that layer out of learner.lora.targets",
            key="learner.lora",
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
