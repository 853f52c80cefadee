"""Define the config sections of learning: algorithm, learner, critic, checkpoints and the export."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from contracts.config.section import Auto, Choice, MayChange, Off, Section
from contracts.errors import BadInput

Beta: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
LossName: TypeAlias = Literal["ppo_clip", "gspo", "cispo"]
KlEstimator: TypeAlias = Literal["k1", "k2", "k3"]
Importance: TypeAlias = Literal["truncate", "sequence_mask", "sequence_ratio", "off"]

CLIPS: dict[str, tuple[float, float]] = {"ppo_clip": (0.2, 0.28), "gspo": (3e-4, 4e-4), "cispo": (1.0, 4.0)}
"""(low, high) of "auto". ppo_clip: clip-higher (DAPO). gspo: of a sequence's mean ratio (arXiv 2507.18071, section
5.1). cispo: no lower bound (1 - 1 = 0), as in arXiv 2506.13585."""

KL_ESTIMATORS: dict[str, KlEstimator] = {"none": "k3", "reward": "k1", "loss": "k3"}
"""The estimator of "auto", by the place where the KL is charged."""

IMPORTANCE_BOUNDS: dict[Importance, tuple[float, float]] = {
    "truncate": (0.0, 2.0),
    "sequence_mask": (0.999, 1.001),
    "sequence_ratio": (0.0, 3.0),
    "off": (0.0, 1.0),
}
"""(floor, cap) of "auto". They differ by orders of magnitude, because they bound different things: the ratio of one
token, the geometric mean over a sequence, the product over a sequence."""


# --- [algorithm] -----------------------------------------------------------------------------------------------------


class AlgorithmSettings(Section):
    """Keys that every algorithm has (learning.md)."""

    steps: MayChange[int] = Field(ge=1)
    """Steps of the run: one batch of groups each. A step whose groups were all dropped counts, and changes nothing."""
    groups_per_step: int = Field(default=8, ge=1)
    """Problems in one step."""
    aggregation: Literal["token", "sequence", "constant"] = "token"
    """How token losses become one number. "token": mean over all response tokens of a mini-batch; "sequence": mean over
    sequences of their token means; "constant": sum over tokens / (sequences x `policy.max_response_tokens`)
    (Dr.GRPO)."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Size of the bonus for the policy's entropy. The entropy itself is always logged."""
    mini_batches: int = Field(default=1, ge=1)
    """Optimiser steps that one batch is divided into, whole groups each."""
    epochs: int = Field(default=1, ge=1)
    """Times that each batch is learned from."""

    @property
    def optimizer_steps(self) -> int:
        """Return the number of optimiser steps of one batch."""
        return self.mini_batches * self.epochs

    @property
    def samples_per_problem(self) -> int:
        """Return how many samples are learned from for each problem."""
        return 1


class PolicyGradientConfig(AlgorithmSettings):
    """Keys of the algorithms that learn from sampled responses: grpo, ppo and opd."""

    group_size: int = Field(default=8, ge=1)
    """Responses for each problem."""
    max_staleness: int = Field(default=0, ge=0)
    """Policy versions that a response may be old when it is learned from. 0 is on-policy and repeats exactly. Above 0,
    generation goes on while the learner works: at most (max_staleness + 1) x groups_per_step groups are in flight."""
    max_replacements: int = Field(default=0, ge=0)
    """Dynamic sampling: groups that a step may start in place of groups that teach nothing. With 0 a step learns from
    the groups that are left."""
    loss: LossName = "ppo_clip"
    """"ppo_clip": one ratio for each token, clipped; "gspo": one ratio for each sequence, clipped (needs aggregation
    "sequence"); "cispo": the ratio as a clipped weight (refuses aggregation "sequence")."""
    clip_low: Annotated[float, Field(ge=0, le=1)] | Auto = "auto"
    """The ratio is clipped to [1 - clip_low, 1 + clip_high]. "auto" is 0.2 (ppo_clip), 3e-4 (gspo) or 1 (cispo: no
    lower bound). With one optimiser step for each batch the ratio is 1 and nothing is clipped."""
    clip_high: Annotated[float, Field(ge=0)] | Auto = "auto"
    """See `clip_low`. "auto" is 0.28 (ppo_clip: clip-higher, DAPO), 4e-4 (gspo) or 4 (cispo)."""
    dual_clip: Annotated[float, Field(gt=1)] | Off = "off"
    """ppo_clip only: the loss of a token with a negative advantage is at most this many times its size; 3 is usual."""
    mask_truncated: bool = False
    """Leave truncated responses out of the loss and its denominator; they stay in their group's baseline."""
    kl: Literal["none", "loss", "reward"] = "none"
    """Where the distance to the reference model (the policy at the start) is charged. "loss" and "reward" keep a
    reference model."""
    kl_estimator: KlEstimator | Auto = "auto"
    """Estimator of the KL divergence. "auto" is k1 in the reward and k3 in the loss. The reward takes k1 only, and the
    loss takes k2 or k3: the other pairs do not pull the policy towards the reference model (learning.md)."""
    kl_coefficient: float = Field(default=0.01, ge=0)
    """What the KL divergence is multiplied by."""
    importance: Importance = "truncate"
    """Correction for the engine, which drew the tokens and computes slightly differently from the learner. "truncate":
    a weight min(ratio, cap) for each token; "sequence_mask": sequences whose mean ratio (geometric mean of the tokens'
    ratios) is outside [floor, cap] are left out; "sequence_ratio": one weight for each sequence, the product of its
    tokens' ratios, and 0 outside [floor, cap]. The mismatch is always logged."""
    importance_cap: Annotated[float, Field(ge=1)] | Auto = "auto"
    """Largest ratio, see `importance`. "auto" is 2 (truncate), 1.001 (sequence_mask) or 3 (sequence_ratio)."""
    importance_floor: Annotated[float, Field(ge=0, le=1)] | Auto = "auto"
    """Smallest ratio of a sequence: "sequence_mask" and "sequence_ratio" only. "auto" is 0.999 (sequence_mask) or 0
    (sequence_ratio: no lower bound)."""

    @model_validator(mode="after")
    def _choices_fit_together(self) -> Self:
        if self.loss == "gspo" and self.aggregation != "sequence":
            raise BadInput(
                'algorithm.loss "gspo" has one ratio for each sequence and needs algorithm.aggregation "sequence", not '
                f"{self.aggregation!r}",
                key="algorithm.aggregation",
            )
        if self.loss == "cispo" and self.aggregation == "sequence":
            raise BadInput(
                'algorithm.loss "cispo" weights tokens and needs algorithm.aggregation "token" or "constant"',
                key="algorithm.aggregation",
            )
        if self.max_staleness > 0 and self.importance == "off":
            raise BadInput(
                f"algorithm.max_staleness {self.max_staleness} learns from responses of older weights, and "
                'algorithm.importance "off" does not correct for that; set it to "truncate" or "sequence_mask"',
                key="algorithm.importance",
            )
        if self.dual_clip != "off" and self.loss != "ppo_clip":
            raise BadInput(
                f'algorithm.dual_clip goes with algorithm.loss "ppo_clip", not {self.loss!r}', key="algorithm.dual_clip"
            )
        self._check_kl()
        return self

    def _check_kl(self) -> None:
        """Refuse an estimator whose expected gradient does not pull the policy towards the reference model.

        The table "KL" of learning.md derives each gradient.
        """
        if self.kl == "reward" and self.estimator != "k1":
            raise BadInput(
                f'algorithm.kl_estimator "{self.estimator}" charged in the reward pushes the policy away from the '
                "reference model: it punishes a token that became less likely, which makes it less likely still; only "
                'k1 has the gradient of the KL there. Write "auto" or "k1", or algorithm.kl = "loss"',
                key="algorithm.kl_estimator",
            )
        if self.kl == "loss" and self.estimator == "k1":
            raise BadInput(
                'algorithm.kl_estimator "k1" in the loss has an expected gradient of 0: it adds noise and does not '
                'hold the policy back. Write "auto", "k2" or "k3", or algorithm.kl = "reward"',
                key="algorithm.kl_estimator",
            )

    @property
    def estimator(self) -> KlEstimator:
        """Return the estimator of the KL divergence; "auto" is decided by where the KL is charged."""
        return KL_ESTIMATORS[self.kl] if self.kl_estimator == "auto" else self.kl_estimator

    @property
    def importance_bounds(self) -> tuple[float, float]:
        """Return (floor, cap) of the importance ratio; "auto" is decided by the kind of correction."""
        floor, cap = IMPORTANCE_BOUNDS[self.importance]
        return (
            floor if self.importance_floor == "auto" else self.importance_floor,
            cap if self.importance_cap == "auto" else self.importance_cap,
        )

    @property
    def samples_per_problem(self) -> int:
        """Return how many samples are learned from for each problem: the responses of its group."""
        return self.group_size

    @property
    def groups_in_flight(self) -> int:
        """Return the largest number of groups that are started and not yet learned from or dropped."""
        return (self.max_staleness + 1) * self.groups_per_step

    @property
    def clip(self) -> tuple[float, float]:
        """Return (low, high) of the ratio's clipping; "auto" is the loss's own."""
        low, high = CLIPS[self.loss]
        return low if self.clip_low == "auto" else self.clip_low, high if self.clip_high == "auto" else self.clip_high

    @property
    def has_group_baseline(self) -> bool:
        """Return whether a response is compared with its siblings: then a group of equal rewards teaches nothing."""
        return False

    @property
    def needs_measuring(self) -> bool:
        """Return whether log-probabilities (or values) must be known before a batch is learned from."""
        return self.optimizer_steps > 1 or self.kl != "none"


class GrpoConfig(PolicyGradientConfig):
    """Compare the responses to one problem with each other."""

    name: Literal["grpo"] = "grpo"
    """Algorithm."""
    advantage: Literal["group", "leave_one_out", "reinforce++"] = "group"
    """"group": reward less the group's mean; "leave_one_out": less the mean of the other responses; "reinforce++":
    normalised over the whole batch. The first two need a group_size of 2 or more."""
    scale_by_std: bool = False
    """Advantage "group" only: divide by the group's standard deviation (GRPO). false is Dr.GRPO's choice."""
    std_kind: Literal["population", "sample"] = "population"
    """`scale_by_std` only: divide by n ("population") or by n - 1 ("sample": the deviation is larger, the advantages
    smaller)."""
    std_epsilon: float = Field(default=1e-6, gt=0)
    """`scale_by_std` only: what is added to the standard deviation."""

    @model_validator(mode="after")
    def _baseline_is_possible(self) -> Self:
        if self.has_group_baseline and self.group_size < 2:
            raise BadInput(
                f"algorithm.group_size {self.group_size} gives algorithm.advantage {self.advantage!r} no response to "
                "compare with; it needs at least 2",
                key="algorithm.group_size",
            )
        if self.scale_by_std and self.advantage != "group":
            raise BadInput(
                f'algorithm.scale_by_std goes with algorithm.advantage "group", not {self.advantage!r}',
                key="algorithm.scale_by_std",
            )
        return self

    @property
    def has_group_baseline(self) -> bool:
        """Return whether a response is compared with its siblings: then a group of equal rewards teaches nothing."""
        return self.advantage != "reinforce++"


class PpoConfig(PolicyGradientConfig):
    """Compare each token with what a critic expected: generalised advantage estimation (GAE). See `[critic]`."""

    name: Literal["ppo"]
    """Algorithm."""
    gae_gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount for each token."""
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """GAE's lambda: 1 is the whole return, 0 is one step."""
    whiten_advantages: bool = True
    """Shift and scale the advantages of a batch to mean 0 and standard deviation 1 over its response tokens."""

    @property
    def needs_measuring(self) -> bool:
        """Return True: the critic's values are needed."""
        return True


class OpdConfig(PolicyGradientConfig):
    """Distil on the policy's own responses: a teacher who knows the pivot's solution judges each token."""

    name: Literal["opd"]
    """Algorithm."""
    advantage_clip: Annotated[float, Field(gt=0)] | Off = 5.0
    """Largest size of a token's advantage, the logarithm of the teacher's probability over the policy's, in nats."""

    @model_validator(mode="after")
    def _has_no_reward_to_charge(self) -> Self:
        if self.kl == "reward":
            raise BadInput(
                'algorithm.kl "reward" charges the distance in the reward, and algorithm.name "opd" learns from no '
                'reward; set algorithm.kl to "loss" or "none"',
                key="algorithm.kl",
            )
        return self

    @property
    def needs_measuring(self) -> bool:
        """Return True: the log-probabilities of policy and teacher are the signal."""
        return True


class SftConfig(AlgorithmSettings):
    """Imitate reference solutions; nothing is sampled and there is no reward."""

    name: Literal["sft"]
    """Algorithm."""
    sft_target: Literal["pivot", "translation"] = "pivot"
    """What is imitated: the pivot's English reference, or the data's own column `translation`."""

    @property
    def needs_measuring(self) -> bool:
        """Return False: there is no ratio, no reference model and no critic."""
        return False


AlgorithmConfig: TypeAlias = Annotated[GrpoConfig | PpoConfig | OpdConfig | SftConfig, Choice("name", default="grpo")]


# --- [learner], [critic] ---------------------------------------------------------------------------------------------


class LoraConfig(Section):
    """Train low-rank adapters (LoRA) in place of all weights. Left out: all weights are trained."""

    rank: int = Field(ge=1)
    """Rank of the adapters. An export has them merged into the weights; `weights.lora` says what engines get."""
    alpha: float = Field(default=32.0, gt=0)
    """Adapters are scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapters' input, while training."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] | Literal["all"] = "all"
    """Names of the linear layers with adapters. "all" is all of them but the output head."""


class LearnerConfig(Section):
    """DeepSpeed ZeRO-3 with AdamW."""

    num_ranks: MayChange[int] = Field(default=1, ge=1)
    """ZeRO-3 ranks: one GPU each, or `num_cpus` cores each."""
    sequence_parallel_size: MayChange[int] = Field(default=1, ge=1)
    """Ranks that split each row, for responses whose activations don't fit one GPU (Ulysses). It divides `num_ranks`
    and the model's attention heads; key heads are divided, or repeated for several ranks."""
    learning_rate: float = Field(default=1e-6, gt=0)
    """Learning rate of AdamW, after the warm-up."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Course of the learning rate after the warm-up, down to `min_learning_rate`, which the step after the run's last
    would have. A run that is continued with more steps follows the longer schedule from there. Only optimiser steps
    that were taken count: with skipped steps, or batches of fewer groups than `algorithm.mini_batches`, a run ends
    above `min_learning_rate`."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimiser steps over which the learning rate rises linearly."""
    min_learning_rate: float = Field(default=0.0, ge=0)
    """Where the schedule ends. The critic ends at the same fraction of its own rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay. Parameters with one dimension (norms and biases) are not decayed."""
    adam_betas: tuple[Beta, Beta] = (0.9, 0.99)
    """AdamW's beta1 and beta2."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    max_skipped_steps: MayChange[int] = Field(default=3, ge=1)
    """Optimiser steps in a row that may be skipped because loss or gradient is not finite; then the run stops."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Number format of weights and activations. Master weights and optimiser states are always float32."""
    attention: MayChange[Literal["auto", "flash_attention_2", "varlen", "packed_sdpa", "sdpa"]] = "auto"
    """"auto": on a GPU in bfloat16 flash-attn where it is installed, else torch's own variable-length attention
    ("varlen"); elsewhere torch's attention sequence by sequence ("packed_sdpa"). "sdpa" is transformers' own, which
    costs the square of a row's length."""
    row_tokens: MayChange[Annotated[int, Field(ge=1)] | Auto] = "auto"
    """Longest packed row, in tokens. "auto" is `policy.max_model_len`, the least that holds every sequence; on a GPU at
    least 16384, because every row gathers all weights again. Activations grow with it."""
    logprob_chunk_tokens: MayChange[Annotated[int, Field(ge=1)] | Auto] = "auto"
    """Positions whose logits exist at once, in float32. "auto" is 2048 on a GPU and 256 on a CPU."""
    gradient_checkpointing: MayChange[bool] = False
    """Use less memory and more computing: compute activations again in the backward pass."""
    keep_whole_mib: MayChange[int] = Field(default=1024, ge=0)
    """A model whose parameters take at most this, in MiB, stays gathered between steps; a larger one is gathered layer
    by layer."""
    offload_optimizer: MayChange[bool] = False
    """Keep master weights and optimiser states in host memory, and update them there."""
    offload_parameters: MayChange[bool] = False
    """Keep parameters in host memory between the passes that need them."""
    num_cpus: MayChange[float] = Field(default=1, gt=0)
    """CPU cores of one rank."""
    timeout_s: MayChange[float] = Field(default=1800, gt=0)
    """Longest time for one step, gather, checkpoint, export or start of the ranks, in seconds."""
    share_prompts: MayChange[bool] = True
    """Compute a prompt once if several responses of a row share it; without effect under attention "sdpa"."""
    lora: LoraConfig | None = None

    @property
    def data_parallel_size(self) -> int:
        """Return how many rows are computed at the same time: one for each rank, or group of ranks that split it."""
        return self.num_ranks // self.sequence_parallel_size

    @model_validator(mode="after")
    def _rows_can_be_split(self) -> Self:
        size = self.sequence_parallel_size
        if self.num_ranks % size:
            raise BadInput(
                f"learner.sequence_parallel_size {size} does not divide learner.num_ranks {self.num_ranks}",
                key="learner.sequence_parallel_size",
            )
        if size > 1 and self.attention == "sdpa":
            raise BadInput(
                f'learner.attention "sdpa" needs whole rows, and learner.sequence_parallel_size {size} splits them; '
                'set learner.attention to "auto"',
                key="learner.attention",
            )
        return self

    @model_validator(mode="after")
    def _rates_are_in_order(self) -> Self:
        if self.min_learning_rate > self.learning_rate:
            raise BadInput(
                f"learner.min_learning_rate {self.min_learning_rate:g} is above learner.learning_rate "
                f"{self.learning_rate:g}",
                key="learner.min_learning_rate",
            )
        return self


class CriticConfig(Section):
    """The critic of `algorithm.name = "ppo"`: a model with a value head, trained by the learner's ranks."""

    model: MayChange[str | None] = None
    """Name on the Hugging Face hub, or a local folder, with the policy's tokenizer. Left out: `policy.model`. A run is
    continued only with the same weights."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Learning rate of AdamW, after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimiser steps over which the learning rate rises linearly; after that it follows `learner.schedule`."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    value_clip: Annotated[float, Field(gt=0)] | Off = 0.2
    """A value moves at most this far from the one that was measured before the batch."""


# --- [checkpoint], [export] ------------------------------------------------------------------------------------------


class CheckpointConfig(Section):
    """When checkpoints are written and which are kept (mechanisms.md says what they hold)."""

    every_steps: Annotated[int, Field(ge=1)] | Off = "off"
    """Steps between two checkpoints; the last step then has one too. "off": only a SIGTERM, or a failure that leaves
    the learner whole, writes one."""
    keep_last: int = Field(default=2, ge=1)
    """Number of newest checkpoints that are kept."""
    best_metric: str = "reward/mean"
    """The checkpoint with the highest mean of this metric since the checkpoint before is kept too. "off" keeps none."""
    on_damage: Literal["previous", "stop"] = "previous"
    """What happens to a checkpoint that is damaged, or newer than the run's record: it is named, and the one before is
    used; or the run stops (exit code 2)."""
    grace_s: float = Field(default=120.0, gt=0)
    """After SIGTERM: longest time until the current step is finished and a checkpoint is written, in seconds."""


class ExportConfig(Section):
    """Where the trained policy is sent."""

    hub_repo: str | None = None
    """`owner/name` on the Hugging Face hub to upload the trained policy to; needs a token (`HF_TOKEN`). Left out: no
    upload."""
    hub_private: bool = True
    """Make the repository private."""
