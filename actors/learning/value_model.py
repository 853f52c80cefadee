"""The critic: a Hugging Face model whose every position is read as a value.

Owns the value head and how the critic is loaded. Knows torch and transformers; must not know ZeRO-3 (but keeps to what
it needs, as the policy does), the loss, or what a value is compared with.
"""

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from actors.learning.attention import attention_for, row_arguments
from actors.learning.policy_model import load_model_config, prepared
from actors.learning.rows import RowInputs


class ValueHead(nn.Linear):
    """[N, H] to [N], in fp32 whatever the weights are kept in: differences of values are small beside the values.

    It starts at zero: a critic that knows nothing yet adds nothing to the returns.
    """

    def __init__(self, width: int, *, dtype: torch.dtype) -> None:
        super().__init__(width, 1, dtype=dtype)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return (input.float() @ self.weight.float().T + self.bias.float())[:, 0]


class ValueModel(nn.Module):
    """The value of the state before each of some tokens of one packed row."""

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = ValueHead(backbone.config.hidden_size, dtype=backbone.dtype)

    def forward(self, row: RowInputs) -> Tensor:
        """Of the tokens that are asked for, fp32 [N]: the state before a token is what the one before it has seen.

        N = 0 still leads back to every parameter.
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
    """A critic from a causal language model's weights, without its output head; all its values are 0 at first.

    Raises BadInput as `load_causal_model`.
    """
    backbone: PreTrainedModel = AutoModel.from_pretrained(
        model,
        config=load_model_config(model, trust_remote_code=trust_remote_code),
        dtype=dtype,
        attn_implementation=attention_for(attention, device=device, dtype=dtype),
        trust_remote_code=trust_remote_code,
    )
    return ValueModel(prepared(backbone, gradient_checkpointing=gradient_checkpointing))
