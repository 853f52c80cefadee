"""The policy as the learner runs it: a Hugging Face causal language model that answers with log-probabilities.

Owns how the model is loaded and which of its parts run in a pass. Knows torch and transformers; must not know ZeRO-3,
though it keeps to what ZeRO-3 needs: every parameter is used inside the forward of a module that holds it.
"""

import logging
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from actors.learning.attention import PACKED_SDPA
from actors.learning.logprobs import HeadSettings, TokenLogprobs
from driver.errors import BadInput

_LOGIT_CHANGES = {"logit_scale": 1.0, "logits_scaling": 1.0, "final_logit_softcapping": None}
"""Config keys with which some families change the head's logits, and the values at which they don't."""

logger = logging.getLogger(__name__)


class PolicyModel(nn.Module):
    """Log-probability and entropy of the tokens at some positions of one packed row."""

    def __init__(self, causal: PreTrainedModel, settings: HeadSettings) -> None:
        super().__init__()
        self.causal = causal
        self.head = TokenLogprobs(_head_weight(causal), settings)

    def forward(self, token_ids: Tensor, position_ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """token_ids and position_ids [1, T]; positions [N] of the tokens that are asked for. Results are [N].

        There is no attention mask: transformers sees where `position_ids` restart and lets no sequence look at another.
        """
        hidden = self.causal.base_model(
            input_ids=token_ids, position_ids=position_ids, use_cache=False
        ).last_hidden_state
        return self.head(hidden[0], token_ids[0], positions)


def load_model_config(model: str, *, trust_remote_code: bool = False) -> PretrainedConfig:
    config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
    for key, harmless in _LOGIT_CHANGES.items():
        value = getattr(config, key, harmless)
        if value not in (harmless, None):
            raise BadInput(
                f"policy.model {model}: its config has {key} = {value}, and the learner knows plain logits only; "
                "choose a model without it"
            )
    return config


def num_parameter_bytes(config: PretrainedConfig, dtype: torch.dtype) -> int:
    """Size of the model's parameters, tied ones once, without making any."""
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in skeleton.parameters()) * dtype.itemsize


def load_causal_model(
    model: str, *, dtype: torch.dtype, device: str, gradient_checkpointing: bool, trust_remote_code: bool = False
) -> PreTrainedModel:
    causal: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        model, dtype=dtype, attn_implementation=_attention(device), trust_remote_code=trust_remote_code
    )
    causal.train()
    if gradient_checkpointing:
        # Re-entrant, because the other kind compares shapes of parameters that ZeRO-3 has taken apart in between.
        causal.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    return causal


def _attention(device: str) -> str:
    """Whatever keeps a packed row from paying for its whole square."""
    if device == "cpu":
        return PACKED_SDPA
    if find_spec("flash_attn") is not None:
        return "flash_attention_2"
    logger.warning("flash-attn is not installed: attention over a packed row costs the square of learner.row_tokens")
    return "sdpa"


def _head_weight(causal: PreTrainedModel) -> nn.Parameter:
    head = causal.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if not isinstance(weight, nn.Parameter):
        raise BadInput(f"policy.model: {type(causal).__name__} has no output head that is a plain matrix")
    if getattr(head, "bias", None) is not None:
        raise BadInput(f"policy.model: the output head of {type(causal).__name__} has a bias, which is not supported")
    return weight
