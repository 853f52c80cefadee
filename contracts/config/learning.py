"""Config sections of what is learned from rewards and how: algorithm, learner, adapter, critic, checkpoints.

Owns their keys, bounds and which choices don't fit together. A leaf: imports neither torch nor Ray.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from contracts.config.section import Section

Beta: TypeAlias = Annotated[float, Field(ge=0, lt=1)]

GROUP_BASELINES = ("group", "leave_one_out")
"""Advantages that compare a response with its siblings: a group whose rewards don't differ teaches nothing."""

CLIPS = {"ppo_clip": (0.2, 0.28), "gspo": (3e-4, 4e-4), "cispo": (1.0, 4.0), "nll": (0.0, 0.0)}
"""(low, high) where the config gives none. gspo: of a sequence's mean ratio (arXiv 2507.18071, §5.1); cispo: no lower
bound (1 - 1 = 0), as in arXiv 2506.13585."""


class AlgorithmConfig(Section):
    name: Literal["grpo", "ppo", "sft"] = "grpo"
    """The recipe: grpo compares responses to one problem; ppo has a critic; sft imitates references."""
    steps: int = Field(ge=1)
    """Steps of the run: one batch of groups each."""
    groups_per_step: int = Field(default=8, ge=1)
    """Problems per step; each is sampled group_size times (sft: learned from once)."""
    group_size: int = Field(default=8, ge=1)
    """Responses per problem; group baselines need 2."""
    max_staleness: int = Field(default=0, ge=0)
    """Policy versions that a sample may be old when learned from. 0 is on-policy and repeats exactly; above it,
    generation goes on while the learner works: at most (max_staleness + 1) x groups_per_step groups are in flight."""
    max_replacements: int = Field(default=0, ge=0)
    """Dynamic sampling: groups that a step may start in place of groups that teach nothing. 0: a step learns from what
    is left."""

    advantage: Literal["group", "leave_one_out", "reinforce++", "gae"] = "group"
    """group: less the group's mean; leave_one_out: less the mean of the others; reinforce++: normalised over the whole
    batch; gae: from a critic (ppo only)."""
    scale_by_std: bool = False
    """Divide by the group's standard deviation (GRPO); off is Dr.GRPO's choice. For group only."""
    gae_gamma: float = Field(default=1.0, gt=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    whiten_advantages: bool = True
    """ppo: advantages of a batch to mean 0 and standard deviation 1 over its response tokens."""

    loss: Literal["ppo_clip", "gspo", "cispo"] = "ppo_clip"
    """ppo_clip: a ratio per token, clipped; gspo: a ratio per sequence, clipped; cispo: the ratio as a clipped
    weight."""
    clip_low: float = Field(default=0.0, ge=0, le=1)
    """The ratio is clipped to [1 - clip_low, 1 + clip_high]; 0: 0.2 (ppo_clip), 3e-4 (gspo), 1 (cispo)."""
    clip_high: float = Field(default=0.0, ge=0)
    """0: 0.28 (ppo_clip: clip-higher, DAPO), 4e-4 (gspo), 4 (cispo)."""
    dual_clip: float = Field(default=0.0, ge=0)
    """ppo_clip: the loss of a token with a negative advantage is at most this times its size; above 1; 0 is off."""
    aggregation: Literal["token", "sequence", "constant"] = "token"
    """token: mean over all response tokens of a mini-batch; sequence: mean over sequences of their token means;
    constant: sum over tokens / (sequences x policy.max_response_tokens) (Dr.GRPO)."""
    mask_truncated: bool = False
    """Truncated responses leave the loss and its denominator; they stay in their group's baseline."""

    kl: Literal["none", "loss", "reward"] = "none"
    """Where the distance to the reference model (the policy at the start) is charged."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    kl_coefficient: float = Field(default=0.01, ge=0)
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Bonus for the policy's entropy; the entropy itself is always logged."""

    importance: Literal["truncate", "sequence_mask", "off"] = "truncate"
    """Correction for the engine that drew the tokens and computes a little differently: a weight min(ratio, cap) per
    token; or whole sequences left out whose mean ratio is outside [floor, cap]; or none. The mismatch is
    always logged."""
    importance_cap: float = Field(default=2.0, ge=1)
    importance_floor: float = Field(default=0.5, gt=0, le=1)

    mini_batches: int = Field(default=1, ge=1)
    """Optimiser steps that one batch is cut into."""
    epochs: int = Field(default=1, ge=1)
    """Times that a batch is gone through."""

    sft_target: Literal["pivot", "translation"] = "pivot"
    """sft: imitate the pivot's English reference, or the translation that the data has (column `translation`)."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for is_wrong, message in (
            (
                self.group_size < 2 and self.name == "grpo" and self.advantage in GROUP_BASELINES,
                f"algorithm.group_size {self.group_size} gives algorithm.advantage {self.advantage!r} nothing to "
                "compare with; it needs at least 2",
            ),
            (
                (self.advantage == "gae") != (self.name == "ppo"),
                f"algorithm.name {self.name!r} doesn't go with algorithm.advantage {self.advantage!r}: gae and ppo "
                "need each other",
            ),
            (
                self.loss == "gspo" and self.aggregation != "sequence",
                f'algorithm.loss "gspo" has one ratio a sequence and needs algorithm.aggregation "sequence", not '
                f"{self.aggregation!r}",
            ),
            (
                self.loss == "cispo" and self.aggregation == "sequence",
                'algorithm.loss "cispo" weights tokens and needs algorithm.aggregation "token" or "constant"',
            ),
            (
                self.max_staleness > 0 and self.importance == "off" and self.name != "sft",
                f"algorithm.max_staleness {self.max_staleness} learns from samples of older weights, and "
                'algorithm.importance "off" takes them for new ones; set it to "truncate" or "sequence_mask"',
            ),
            (
                self.name == "sft" and (self.max_staleness > 0 or self.max_replacements > 0),
                'algorithm.name "sft" draws nothing: algorithm.max_staleness and algorithm.max_replacements must be 0',
            ),
            (
                0 < self.dual_clip <= 1,
                f"algorithm.dual_clip is {self.dual_clip:g}; it must be above 1 (3 is usual), or 0 for none",
            ),
            (
                self.dual_clip > 0 and self.loss != "ppo_clip",
                f'algorithm.dual_clip goes with algorithm.loss "ppo_clip", not {self.loss!r}',
            ),
            (
                self.name == "sft" and (self.kl != "none" or self.dual_clip > 0),
                'algorithm.name "sft" imitates references: it has no ratio for algorithm.dual_clip to bound, and no '
                "algorithm.kl",
            ),
            (
                self.scale_by_std and self.advantage != "group",
                f'algorithm.scale_by_std goes with algorithm.advantage "group", not {self.advantage!r}',
            ),
        ):
            if is_wrong:
                raise ValueError(message)
        return self

    @property
    def groups_in_flight(self) -> int:
        """Most groups that are started and not yet learned from or dropped."""
        return (self.max_staleness + 1) * self.groups_per_step

    @property
    def clip(self) -> tuple[float, float]:
        """(low, high), the loss's own where the config gives 0."""
        low, high = CLIPS[self.loss]
        return self.clip_low or low, self.clip_high or high

    @property
    def optimizer_steps(self) -> int:
        """Of one batch."""
        return self.mini_batches * self.epochs

    @property
    def needs_measuring(self) -> bool:
        """Whether log-probabilities (or values) must be known before a batch is learned from."""
        return self.name != "sft" and (self.optimizer_steps > 1 or self.kl != "none" or self.advantage == "gae")


class LoraConfig(Section):
    rank: int = Field(default=0, ge=0)
    """0 trains all weights; above it, adapters of this rank, merged into the weights when they are pushed or
    exported."""
    alpha: float = Field(default=32.0, gt=0)
    """Adapters are scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ()
    """Names of linear layers; empty: all of them but the output head."""


class LearnerConfig(Section):
    num_ranks: int = Field(default=1, ge=1)
    """DeepSpeed ZeRO-3 ranks: one GPU each, or num_cpus cores each."""
    learning_rate: float = Field(default=1e-6, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """After the warm-up, down to min_learning_rate, which the step after the run's last would have."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimiser steps, linear."""
    min_learning_rate: float = Field(default=0.0, ge=0)
    """Where the schedule ends; the critic ends at the same fraction of its own rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    adam_betas: tuple[Beta, Beta] = (0.9, 0.99)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_skipped_steps: int = Field(default=3, ge=1)
    """Optimiser steps in a row that may be skipped because loss or gradient is not finite; then the run stops."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Of weights and activations; master weights and optimiser states are fp32 in any case."""
    attention: Literal["auto", "flash_attention_2", "packed_sdpa", "sdpa"] = "auto"
    """auto: flash-attn on a GPU where it is installed, else torch's attention sequence by sequence (packed_sdpa)."""
    row_tokens: int = Field(default=0, ge=0)
    """Longest packed row, in tokens; 0: policy.max_model_len, which is the least that holds every sequence."""
    logprob_chunk_tokens: int = Field(default=256, ge=1)
    """Positions whose logits exist at once, in fp32."""
    gradient_checkpointing: bool = False
    keep_whole_mib: int = Field(default=1024, ge=0)
    """A model whose parameters take no more stays gathered between steps; larger ones are gathered layer by layer."""
    offload_optimizer: bool = False
    """Keep master weights and optimiser states in host memory; updates happen there."""
    offload_parameters: bool = False
    """Keep parameters in host memory between the passes that need them."""
    num_cpus: float = Field(default=1, gt=0)
    timeout_s: float = Field(default=1800, gt=0)
    """Longest that one step, gather, checkpoint or start of the ranks may take."""
    share_prompts: bool = True
    """A prompt that several responses of a row share is computed once; without effect under attention "sdpa"."""
    lora: LoraConfig = LoraConfig()

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"learner.min_learning_rate {self.min_learning_rate:g} is above learner.learning_rate "
                f"{self.learning_rate:g}"
            )
        return self


class CriticConfig(Section):
    """ppo's critic: a model with a value head, trained by the learner's ranks beside the policy."""

    model: str = ""
    """A Hugging Face name or a local folder with the policy's tokenizer; empty: policy.model."""
    learning_rate: float = Field(default=1e-5, gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    value_clip: float = Field(default=0.2, ge=0)
    """A value moves at most this far from the one that the batch was measured with; 0 is off."""


class CheckpointConfig(Section):
    every_steps: int = Field(default=0, ge=0)
    """Steps between two checkpoints; the last step then has one too. 0: none but that of a SIGTERM or a failure."""
    keep_last: int = Field(default=2, ge=1)
    best_metric: str = "reward/mean"
    """The checkpoint with the highest mean of this metric since the one before is kept too; empty keeps none."""
    on_damage: Literal["previous", "stop"] = "previous"
    """A damaged checkpoint is named, and the one before it is used; or the run stops (exit 2)."""
    grace_s: float = Field(default=120.0, gt=0)
    """After SIGTERM: longest until the step under way is finished and a checkpoint written."""


class ExportConfig(Section):
    hub_repo: str = ""
    """owner/name on the Hugging Face hub to upload the trained policy to; empty uploads nothing. Needs HF_TOKEN."""
    hub_private: bool = True
