"""Read and check the settings of a COMET checkpoint (hparams.yaml).

Only settings that decide scores are read. Where a file leaves one out, it has the default of the package
`unbabel-comet` 2.2.7.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from contracts.user_files import guarded, read_user_text

Kind = Literal["regression_metric", "referenceless_regression_metric", "unified_metric"]
"""The `class_identifier` of RegressionMetric, ReferencelessRegression and UnifiedMetric."""

_KINDS: tuple[Kind, ...] = ("regression_metric", "referenceless_regression_metric", "unified_metric")
_ENCODERS = ("XLM-RoBERTa", "XLM-RoBERTa-XL")
_SEGMENTS = (("mt", "src"), ("mt", "ref"), ("mt", "src", "ref"))
# By the option's value. `sparsemax_patch` marks checkpoints that were trained with softmax while their file said
# sparsemax (the class never passed the option on before 2.2.4); their published files were renamed to say so.
_MIXES: Mapping[str, Literal["softmax", "sparsemax"]] = {
    "softmax": "softmax",
    "sparsemax": "sparsemax",
    "sparsemax_patch": "softmax",
}
_DEFAULTS: Mapping[Kind, Mapping[str, object]] = {
    "regression_metric": {"layer_transformation": "softmax", "hidden_sizes": [3072, 1024]},
    "referenceless_regression_metric": {"layer_transformation": "softmax", "hidden_sizes": [2048, 1024]},
    "unified_metric": {"layer_transformation": "sparsemax", "hidden_sizes": [3072, 1024]},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CometSettings:
    """Hold what decides a score, apart from the weights."""

    kind: Kind
    pretrained_model: str  # the model whose config and tokenizer the encoder has
    pooling: Literal["avg", "cls"]
    mix: Literal["softmax", "sparsemax"]
    layer_norm: bool  # of every layer before the mix
    hidden_sizes: tuple[int, ...]
    activation: str  # a class of torch.nn
    final_activation: str | None
    input_segments: tuple[str, ...]  # unified only: what a joint sequence is made of, in order; else ()

    @property
    def needs_reference(self) -> bool:
        """Return whether an input must have a reference."""
        return self.kind == "regression_metric" or "ref" in self.input_segments


def read_settings(path: Path) -> CometSettings:
    """Read hparams.yaml.

    Raises:
        ValueError: the file can't be read safely, or the model is of a kind that is not supported.
    """
    found = _read_yaml(path)
    kinds: list[Kind] = [kind for kind in _KINDS if kind == found.get("class_identifier")]
    if not kinds:
        raise ValueError(f"{path}: class_identifier {found.get('class_identifier')!r}; it must be {_any_of(_KINDS)}")
    kind = kinds[0]
    values = {"layer_norm": True, "activations": "Tanh", "pool": "avg", **_DEFAULTS[kind], **found}
    is_unified = kind == "unified_metric"
    return CometSettings(
        kind=kind,
        pretrained_model=_pretrained_model(values, path),
        pooling="cls" if is_unified else _pooling(values, path),
        mix=_mix(values, path, layer_key="sent_layer" if is_unified else "layer"),
        layer_norm=bool(values["layer_norm"]),
        hidden_sizes=_hidden_sizes(values, path),
        activation=str(values["activations"]),
        final_activation=None if values.get("final_activation") is None else str(values["final_activation"]),
        input_segments=_input_segments(values, path) if is_unified else (),
    )


def _read_yaml(path: Path) -> dict[str, object]:
    text = read_user_text(path, key="comet.model")
    with guarded(f"{path} is no plain YAML", key="comet.model"):
        found = yaml.safe_load(text)
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, not the settings of a COMET model")
    return {str(key): value for key, value in found.items()}


def _pretrained_model(values: Mapping[str, object], path: Path) -> str:
    encoder = values.get("encoder_model", "XLM-RoBERTa")
    if encoder not in _ENCODERS:
        raise ValueError(f"{path}: encoder_model {encoder!r} is not supported; supported are {_any_of(_ENCODERS)}")
    return str(values.get("pretrained_model", ""))


def _pooling(values: Mapping[str, object], path: Path) -> Literal["avg", "cls"]:
    match values["pool"]:
        case "avg":
            return "avg"
        case "cls":
            return "cls"
    raise ValueError(f"{path}: pool {values['pool']!r} is not supported; supported are 'avg' and 'cls'")


def _mix(values: Mapping[str, object], path: Path, *, layer_key: str) -> Literal["softmax", "sparsemax"]:
    if values.get(layer_key, "mix") != "mix":
        raise ValueError(f"{path}: {layer_key} {values[layer_key]!r} is not supported; it must be 'mix'")
    transformation = str(values["layer_transformation"])
    if transformation not in _MIXES:
        raise ValueError(f"{path}: layer_transformation {transformation!r}; it must be {_any_of(tuple(_MIXES))}")
    return _MIXES[transformation]


def _hidden_sizes(values: Mapping[str, object], path: Path) -> tuple[int, ...]:
    sizes = values["hidden_sizes"]
    if not isinstance(sizes, list) or not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"{path}: hidden_sizes {sizes!r}; it must be a list of sizes such as [3072, 1024]")
    return tuple(sizes)


def _input_segments(values: Mapping[str, object], path: Path) -> tuple[str, ...]:
    found = values.get("input_segments", ["mt", "src", "ref"])
    segments = tuple(str(segment) for segment in found) if isinstance(found, list) else ()
    if segments not in _SEGMENTS:
        known = _any_of(tuple(str(list(segments)) for segments in _SEGMENTS))
        raise ValueError(f"{path}: input_segments {found!r}; it must be {known}")
    return segments


def _any_of(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + f" or {names[-1]}"
