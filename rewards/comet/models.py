"""Define the networks of the three COMET classes as torch modules over a transformers encoder.

Layer mix, pooling, order of features and head follow `unbabel-comet` 2.2.7 (Rei et al. 2020, 2022), which
`make comet-parity` compares with. The head and the mix are float32, whatever the encoder's dtype.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from contracts.model_names import name_and_revision
from rewards.comet.checkpoint import Checkpoint, listed
from rewards.comet.settings import CometSettings

_ENCODERS = ("xlm-roberta", "xlm-roberta-xl")
_NUM_FEATURES = {"regression_metric": 6, "referenceless_regression_metric": 4, "unified_metric": 1}
_LEAST_VARIANCE = 1e-12


class LayerMix(nn.Module):
    """Compute gamma · Σ_k p_k h_k over the outputs of the embeddings and of all layers.

    p is the softmax or sparsemax of learned scalars.
    """

    def __init__(
        self, num_layers: int, *, transformation: Literal["softmax", "sparsemax"], layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.scalars = nn.ParameterList([nn.Parameter(torch.zeros(1)) for _ in range(num_layers)])
        self.gamma = nn.Parameter(torch.ones(1))
        self._transformation = transformation
        self._layer_norm = layer_norm

    def forward(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Return [B, T, D] float32 of K layers [B, T, D] and the mask [B, T], which is 1 at real tokens."""
        scalars = torch.cat(list(self.scalars))
        weights = sparsemax(scalars) if self._transformation == "sparsemax" else torch.softmax(scalars, dim=0)
        mixed = torch.zeros_like(layers[0], dtype=torch.float32)
        for weight, layer in zip(weights, layers, strict=True):
            states = layer.float()
            mixed += weight * (_normalised(states, mask) if self._layer_norm else states)
        return self.gamma * mixed


class CometNetwork(nn.Module):
    """Hold encoder, layer mix and head of one checkpoint; built without weights."""

    def __init__(self, settings: CometSettings, config: PretrainedConfig) -> None:
        super().__init__()
        self.encoder: PreTrainedModel = AutoModel.from_config(config, add_pooling_layer=False)
        self.mix = LayerMix(config.num_hidden_layers + 1, transformation=settings.mix, layer_norm=settings.layer_norm)
        self.head = _head(settings, config.hidden_size * _NUM_FEATURES[settings.kind])
        self._pooling = settings.pooling

    def embed(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """Return the vectors [B, D], float32, of sequences [B, T] and their mask [B, T].

        Pooling avg is the mean over all real tokens, special ones included; cls is the first token.
        """
        found = self.encoder(input_ids=token_ids, attention_mask=mask, output_hidden_states=True)
        states = self.mix(found.hidden_states, mask)
        if self._pooling == "cls":
            return states[:, 0]
        shown = mask.unsqueeze(-1).float()
        return (states * shown).sum(dim=1) / shown.sum(dim=1)

    def rate(self, features: Tensor) -> Tensor:
        """Return the raw scores [N], float32, of features [N, F]."""
        return self.head(features.float()).squeeze(-1)


def regression_features(translation: Tensor, source: Tensor, reference: Tensor) -> Tensor:
    """Return [N, 6D] of three [N, D]: [mt, ref, mt·ref, |mt − ref|, mt·src, |mt − src|]; src itself is left out."""
    t, s, r = translation, source, reference
    return torch.cat((t, r, t * r, (t - r).abs(), t * s, (t - s).abs()), dim=-1)


def referenceless_features(translation: Tensor, source: Tensor) -> Tensor:
    """Return [N, 4D] of two [N, D]: [mt, src, mt·src, |mt − src|]."""
    t, s = translation, source
    return torch.cat((t, s, t * s, (t - s).abs()), dim=-1)


def sparsemax(scalars: Tensor) -> Tensor:
    """Return the Euclidean projection [K] of [K] onto the probability simplex (Martins and Astudillo 2016, alg. 1)."""
    ordered, _ = torch.sort(scalars, descending=True)
    places = torch.arange(1, len(scalars) + 1, device=scalars.device, dtype=scalars.dtype)
    sums = ordered.cumsum(dim=0)
    size = int((1 + places * ordered > sums).sum())
    threshold = (sums[size - 1] - 1) / size
    return torch.clamp(scalars - threshold, min=0)


def load_encoder_config(folder_or_name: str) -> PretrainedConfig:
    """Load the encoder's config.

    Raises:
        ValueError: it can't be loaded, or the encoder is of another family.
    """
    try:
        name, revision = name_and_revision(folder_or_name)
        config = AutoConfig.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the encoder's config {folder_or_name!r} can't be loaded ({type(error).__name__}); name a local folder "
            "with its config.json and tokenizer in comet.encoder"
        ) from error
    if config.model_type not in _ENCODERS:
        raise ValueError(f"{folder_or_name} is a {config.model_type}; the encoder must be {' or '.join(_ENCODERS)}")
    return config


def load_network(
    checkpoint: Checkpoint, config: PretrainedConfig, *, dtype: Literal["bfloat16", "float32"], device: str
) -> CometNetwork:
    """Load the network with the checkpoint's weights, for scoring.

    Raises:
        ValueError: tensors don't fit; the message names them.
    """
    with no_init_weights():  # random ones for half a billion parameters take as long as reading the real ones
        network = CometNetwork(checkpoint.settings, config)
    tensors = load_file(checkpoint.weights)
    expected = network.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys())
    misshapen = sorted(
        f"{name} {list(tensors[name].shape)} for {list(expected[name].shape)}"
        for name in expected.keys() & tensors.keys()
        if tensors[name].shape != expected[name].shape
    )
    faults = {"missing": missing, "unknown": unknown, "of another shape": misshapen}
    if found := "; ".join(f"{what}: {listed(names)}" for what, names in faults.items() if names):
        raise ValueError(
            f"the weights of {checkpoint.name} don't fit its hparams.yaml and its encoder's config; {found}"
        )
    network.load_state_dict(tensors, assign=True)
    network.float()
    network.encoder.to(getattr(torch, dtype))
    return network.to(device).eval().requires_grad_(False)


def _normalised(states: Tensor, mask: Tensor) -> Tensor:
    """Subtract the mean from the states [B, T, D] and divide by the standard deviation.

    Both are one number per sentence, over all values of its real tokens.
    """
    shown = mask.unsqueeze(-1).float()
    count = mask.sum(dim=1).float().view(-1, 1, 1) * states.shape[-1]
    mean = (states * shown).sum(dim=(1, 2), keepdim=True) / count
    variance = (((states - mean) * shown) ** 2).sum(dim=(1, 2), keepdim=True) / count
    return (states - mean) / torch.sqrt(variance + _LEAST_VARIANCE)


def _head(settings: CometSettings, num_inputs: int) -> nn.Sequential:
    """Return linear, activation and dropout for each hidden size, then one linear unit.

    The order is that of the checkpoint, so that the weights' names fit.
    """
    modules: list[nn.Module] = []
    for size in settings.hidden_sizes:
        # Dropout does nothing here; it keeps the numbers of the linear layers, which name their weights.
        modules += [nn.Linear(num_inputs, size), _activation(settings.activation), nn.Dropout(0.0)]
        num_inputs = size
    modules.append(nn.Linear(num_inputs, 1))
    if settings.final_activation is not None:
        modules.append(_activation(settings.final_activation))
    return nn.Sequential(*modules)


def _activation(name: str) -> nn.Module:
    known = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "hardtanh": nn.Hardtanh, "softplus": nn.Softplus, "relu": nn.ReLU}
    if name.lower() not in known:
        raise ValueError(f"hparams.yaml asks for the activation {name!r}; known are {', '.join(known)}")
    return known[name.lower()]()
