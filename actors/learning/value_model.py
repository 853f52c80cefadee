"""Run the critic: a Hugging Face model with a value head, which gives every position a value.

Must not import DeepSpeed; like the policy, it uses every parameter inside the forward of a module that holds it.
"""

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from actors.learning.attention import attention_for, row_arguments
from actors.learning.policy_model import load_model_config, prepared
from actors.learning.rows import RowInputs
from contracts.model_names import name_and_revision


class ValueHead(nn.Linear):
    """Map hidden states [N, H] to values [N], in fp32 for any dtype of the weights.

    fp32, because differences of values are small compared with the values. The head starts at zero: an untrained critic
    adds nothing to the returns.
    """

    def __init__(self, width: int, *, dtype: torch.dtype) -> None:
        super().__init__(width, 1, dtype=dtype)

    def reset_parameters(self) -> None:
        """Set weight and bias to zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return the values [N] of hidden states [N, H]."""
        return (input.float() @ self.weight.float().T + self.bias.float())[:, 0]


class ValueModel(nn.Module):
    """Compute the value of the state before each of some tokens of one packed row."""

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = ValueHead(backbone.config.hidden_size, dtype=backbone.dtype)

    def forward(self, row: RowInputs) -> Tensor:
        """Return the values, fp32 [N]. The state before a token is the hidden state of the token before it.

        With N = 0 the result still has a gradient graph to every parameter.
        """
        hidden = self.backbone(
            input_ids=row.token_ids,
            position_ids=row.position_ids,
            use_cache=False,
            **row_arguments(self.backbone.config, row.segments, device=row.token_ids.device),
        ).last_hidden_state
        return self.head(hidden[0, row.sources])


def load_value_model(
    model: str,
    *,
    dtype: torch.dtype,
    device: str,
    attention: str = "auto",
    gradient_checkpointing: bool = False,
    trust_remote_code: bool = False,
) -> ValueModel:
    """Load a critic from a causal language model's weights, without its output head. At first all values are 0.

    Raises:
        BadInput: the learner can't train this model, or not with this attention.
    """
    name, revision = name_and_revision(model)
    config = load_model_config(model, trust_remote_code=trust_remote_code)
    backbone: PreTrainedModel = AutoModel.from_pretrained(
        name,
        revision=revision,
        config=config,
        dtype=dtype,
        attn_implementation=attention_for(attention, config=config, device=device, dtype=dtype),
        trust_remote_code=trust_remote_code,
    )
    return ValueModel(prepared(backbone, gradient_checkpointing=gradient_checkpointing))
