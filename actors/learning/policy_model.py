"""Run the policy in the learner: a Hugging Face causal language model that returns log-probabilities.

This module loads a model, refuses those that the learner can't train, and runs it on packed rows. ZeRO-3 needs every
parameter to be used inside the forward of a module that holds it. Must not import DeepSpeed.
"""

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)

from actors.learning.attention import ATTENTIONS, attention_for, row_arguments
from actors.learning.logprobs import HeadSettings, TokenLogprobs
from actors.learning.rows import RowInputs
from contracts.errors import BadInput
from contracts.model_config import why_untrainable
from contracts.model_names import name_and_revision


class PolicyModel(nn.Module):
    """Compute log-probability and entropy of some tokens of one packed row."""

    def __init__(self, causal: PreTrainedModel, settings: HeadSettings) -> None:
        super().__init__()
        self.causal = causal
        self.head = TokenLogprobs(_head_weight(causal), settings)

    def forward(self, row: RowInputs) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [N] and entropies [N]. Segments, not a mask, define which tokens are seen."""
        hidden = self.causal.base_model(
            input_ids=row.token_ids,
            position_ids=row.position_ids,
            use_cache=False,
            **row_arguments(self.causal.config, row.segments, device=row.token_ids.device),
        ).last_hidden_state
        return self.head(hidden[0, row.sources], row.targets)


def load_model_config(model: str, *, trust_remote_code: bool = False) -> PretrainedConfig:
    """Return the model's config with every dropout off, because the engine that draws the responses has none.

    Raises:
        BadInput: the learner can't train this model.
    """
    name, revision = name_and_revision(model)
    config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code)
    if why := _why_not(config):
        raise BadInput(f"{model} {why}", key=model)
    for key in dropouts(config):
        setattr(config, key, 0.0)
    return config


def dropouts(config: PretrainedConfig) -> dict[str, float]:
    """Return the config's values that make a training pass random, by key."""
    return {
        key: value
        for key, value in config.to_dict().items()
        if ("drop" in key or key == "router_jitter_noise") and isinstance(value, float)
    }


def num_parameter_bytes(config: PretrainedConfig, dtype: torch.dtype, *, trust_remote_code: bool = False) -> int:
    """Return the size in bytes of the model's parameters, tied ones once, without allocating them."""
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    return sum(parameter.numel() for parameter in skeleton.parameters()) * dtype.itemsize


def num_drawable_tokens(model: str, *, trust_remote_code: bool = False) -> int | None:
    """Return the number of the tokenizer's ids if the model's head has more rows, or None if every row is a token.

    Some model families round their vocabulary up. The additional rows must not be drawn: engine and learner both leave
    them out of the distribution.
    """
    name, revision = name_and_revision(model)
    config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code).get_text_config()
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code)
    ids = tokenizer.get_vocab().values()
    num_tokens = max(ids, default=-1) + 1
    return num_tokens if num_tokens < config.vocab_size else None


def load_causal_model(
    model: str,
    *,
    dtype: torch.dtype,
    device: str,
    attention: str = "auto",
    gradient_checkpointing: bool = False,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load the model of a Hugging Face name or folder, in training mode; `attention` is a value of `learner.attention`.

    Raises:
        BadInput: the learner can't train this model, or not with this attention.
    """
    name, revision = name_and_revision(model)
    config = load_model_config(model, trust_remote_code=trust_remote_code)
    causal: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        name,
        revision=revision,
        config=config,
        dtype=dtype,
        attn_implementation=attention_for(attention, config=config, device=device, dtype=dtype),
        trust_remote_code=trust_remote_code,
    )
    return prepared(causal, gradient_checkpointing=gradient_checkpointing)


def prepared(model: PreTrainedModel, *, gradient_checkpointing: bool) -> PreTrainedModel:
    """Return the model in training mode. For remote code it is known only now whether its attention can be replaced.

    Raises:
        BadInput: the attention of the model can't be replaced.
    """
    if not model._supports_attention_backend:
        raise BadInput(
            f"{type(model).__name__} {_OWN_ATTENTION}; choose another model", key=model.config.name_or_path or ""
        )
    if (
        chosen := model.config._attn_implementation
    ) not in ATTENTIONS:  # transformers may choose another than asked for
        raise BadInput(
            f'{type(model).__name__} runs only with attention "{chosen}", which packed rows don\'t support; '
            'set learner.attention to "packed_sdpa"',
            key="learner.attention",
        )
    model.train()
    if gradient_checkpointing:
        # Re-entrant, because the other kind compares shapes of parameters that ZeRO-3 has sharded in between.
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    return model


_OWN_ATTENTION = "has its own attention code, which would mix the sequences of a packed row"


def _why_not(config: PretrainedConfig) -> str | None:
    """Return why the learner can't train a model of this config, as the end of a sentence; None if it can."""
    if why := why_untrainable(config.to_dict()):
        return why
    if config.get_text_config() is not config:
        return f"is a {config.model_type}, more than a text model, and the learner trains text models only"
    known = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if known is None:
        return None
    if not getattr(known, "_supports_attention_backend", False) or getattr(known, "_is_stateful", False):
        return f"is a {config.model_type}, which {_OWN_ATTENTION}; choose another model"
    return None


def _head_weight(causal: PreTrainedModel) -> nn.Parameter:
    """Return the output head's weight [V, H].

    Raises:
        BadInput: the head is not a plain matrix.
    """
    head = causal.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if not isinstance(weight, nn.Parameter):
        raise BadInput(
            f"policy.model: {type(causal).__name__} has no output head that is a plain matrix", key="policy.model"
        )
    if getattr(head, "bias", None) is not None:
        raise BadInput(
            f"policy.model: the output head of {type(causal).__name__} has a bias, which is not supported",
            key="policy.model",
        )
    known = {id(parameter) for parameter in causal.base_model.parameters()} | {id(weight)}
    if others := [name for name, parameter in causal.named_parameters() if id(parameter) not in known]:
        raise BadInput(
            f"policy.model: the output head of {type(causal).__name__} has more parameters than a matrix: "
            f"{', '.join(others)}",
            key="policy.model",
        )
    return weight
