"""The config sections of the reward and of the scorers that compute it.

Owns what may be set about the reward, its bounds and the checks inside these sections; what a setting does is
docs/rewards.md. Must import neither torch nor Ray.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from contracts.config.section import Section


class ScorerConfig(Section):
    model: str
    """A sentence-transformers name or local folder."""
    num_workers: int = Field(default=1, ge=1)
    batch_size: int = Field(default=32, ge=1)
    batch_across_groups: bool = False
    """Encode the texts of all waiting groups together: faster on a GPU, but then the same seed gives rewards that
    differ in their last digits from run to run."""
    text_prefix: str = "query: "
    """Put before every text; e5 models want "query: ", most others nothing."""
    dtype: Literal["bfloat16", "float32"] = "float32"
    num_cpus: float = Field(default=1, gt=0)
    num_gpus: float = Field(default=0, ge=0)
    """Of one worker, where there are GPUs; 0.25 lets four share one."""
    timeout_s: float = Field(default=300, gt=0)
    """Longest a group waits for its scores, all attempts included; after that its samples are unscored."""
    attempts: int = Field(default=3, ge=1)
    """How often a group is tried before it is unscored; each time by the least loaded scorer."""
    backoff_s: float = Field(default=0.5, ge=0)
    """Wait before the second attempt; doubled before each further one."""


class RewardWeights(Section):
    """What each part counts; they sum to 1."""

    answer: float = Field(default=0.6, ge=0, le=1)
    reasoning: float = Field(default=0.25, ge=0, le=1)
    numbers: float = Field(default=0.15, ge=0, le=1)
    custom: float = Field(default=0.0, ge=0, le=1)
    """Of the reward in reward.custom.path; above 0 only with one."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        parts = {name: getattr(self, name) for name in RewardWeights.model_fields}
        if abs(sum(parts.values()) - 1) > 1e-6:
            told = ", ".join(f"{name} {weight:g}" for name, weight in parts.items())
            raise ValueError(f"reward.weights sum to {sum(parts.values()):g} ({told}); they must sum to 1")
        return self


class WeightPoint(RewardWeights):
    """The weights from one step on; between two points they change linearly."""

    step: int = Field(ge=0)


class GatesConfig(Section):
    """Which gates are on. One that is off is still judged and logged, but shuts nothing."""

    language: bool = True
    """The reasoning is in the asked language, line by line and as a whole. Off is known to collapse to English."""
    answer_language: bool = True
    """The sentence that declares the final answer is in the asked language."""
    format: bool = True
    """Exactly one final answer is declared, with no more than a unit after it."""
    truncation: bool = True
    """The response was not cut off at max_response_tokens."""
    empty: bool = True
    """There is some reasoning before the answer."""
    repetition: bool = True
    """No line or phrase comes again and again."""
    copying: bool = True
    """The reasoning is not the question written again."""
    length: bool = True
    """The reasoning is neither far shorter nor far longer than the reference's."""
    min_length_ratio: float = Field(default=0.2, ge=0)
    max_length_ratio: float = Field(default=4.0, gt=0)
    """Band of the length gate: letters of the reasoning over letters of the reference's, both weighed by script."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_length_ratio >= self.max_length_ratio:
            raise ValueError(
                f"reward.gates.min_length_ratio {self.min_length_ratio:g} must be below max_length_ratio "
                f"{self.max_length_ratio:g}"
            )
        return self


class ReasoningConfig(Section):
    """How close a reasoning is to the pivot's: one judge, and how its raw values become [0, 1]."""

    judge: Literal["embedding", "translation", "comet", "likelihood"] = "embedding"
    """embedding: cosine of sentence embeddings; translation: compared in English; comet: COMET per aligned segment;
    likelihood: mean probability of the pivot's answer after the policy's own reasoning."""
    chunk_tokens: int = Field(default=0, ge=0)
    """Longest chunk that is embedded at once; 0 is what the encoder reads."""
    baseline: Literal["language", "question"] = "language"
    """What counts as 0: what a question alone earns, as the mean of its language, or of this very question (one more
    text encoded a group)."""
    calibration: str = "auto"
    """auto: statistics kept in .cache/calibration, measured before the first step where missing; off: [low, high]; else
    a file that `calibrate` wrote, refused when it was made with another judge or encoder."""
    calibration_data: str = "builtin"
    """builtin, or a file of parallel solutions (docs/rewards.md, "Parallel texts")."""
    calibration_items: int = Field(default=96, ge=8)
    """Parallel solutions per language that are measured."""
    low: float = 0.80
    high: float = 0.95
    """calibration = "off": a raw value is mapped linearly from [low, high] to [0, 1] in every language."""
    translator: Literal["seq2seq", "pivot"] = "seq2seq"
    """translation: by the model of [translator], or by the pivot's engine."""
    compare: Literal["embedding", "chrf"] = "embedding"
    """translation: how the English texts are compared."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"reward.reasoning.low {self.low:g} must be below high {self.high:g}")
        by_engine = self.judge == "likelihood" or (self.judge == "translation" and self.translator == "pivot")
        if self.baseline == "question" and by_engine:
            raise ValueError(
                'reward.reasoning.baseline "question" has the judge read the question too, and the run\'s engines, '
                'which this judge asks, are not asked about questions; choose "language"'
            )
        return self

    @property
    def is_calibrated(self) -> bool:
        """A likelihood is a probability already."""
        return self.calibration != "off" and self.judge != "likelihood"


class CustomRewardConfig(Section):
    path: str = ""
    """Python file with a reward of your own; empty: none."""
    function: str = "reward"
    """Its function: takes a ScoreRequest, gives one number in [0, 1] per response; may be async."""


class RewardConfig(Section):
    weights: RewardWeights = RewardWeights()
    schedule: tuple[WeightPoint, ...] = ()
    """Weights by step in place of `weights`, e.g. [{step = 0, ...}, {step = 100, ...}]; linear in between."""
    combine: Literal["sum", "normalised", "answer_gated"] = "sum"
    """sum: of the weighted parts; normalised: each part normalised inside its group first (GDPO); answer_gated: other
    parts count only as far as the answer is right."""
    spread_floor: float = Field(default=0.05, gt=0)
    """normalised: least standard deviation that a part is divided by, so that noise is not blown up."""
    gates: GatesConfig = GatesConfig()
    reasoning: ReasoningConfig = ReasoningConfig()
    custom: CustomRewardConfig = CustomRewardConfig()
    unparsed_answers: Literal["unscored", "comet"] = "unscored"
    """Where the pivot's answer is neither number, option nor formula: leave the group unscored, or ask COMET."""
    min_group_spread: float = Field(default=1e-4, ge=0)
    """A group whose rewards differ by less (largest minus smallest) teaches nothing: dropped and counted."""
    consistency_floor: float = Field(default=0.1, ge=0, le=1)
    """The run stops when the share of responses in the asked language stays below this in some language; 0: never."""
    consistency_steps: int = Field(default=20, ge=1)
    """Steps over which that share is taken."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(weights.custom > 0 for weights in (self.weights, *self.schedule)) and not self.custom.path:
            raise ValueError("a weight of custom is above 0 but reward.custom.path is empty; name the file")
        steps = [point.step for point in self.schedule]
        if steps != sorted(set(steps)):
            raise ValueError(f"reward.schedule has steps {steps}; each must be larger than the one before")
        return self

    @property
    def needs_comet(self) -> bool:
        return self.reasoning.judge == "comet" or self.unparsed_answers == "comet"


class CometConfig(Section):
    """A COMET checkpoint, loaded where the reward asks for one."""

    model: str = "Unbabel/wmt20-comet-qe-da"
    """A name on the hub or a local folder with hparams.yaml and checkpoints/model.ckpt. This one is Apache-2.0."""
    encoder: str = ""
    """Folder or name of the pretrained encoder's config and tokenizer; empty: the one that hparams.yaml names."""
    feeding: Literal["quality", "forward", "back", "same"] = "quality"
    """What it is fed (K, F, B, D of docs/comet.md): English source and response alone; a reference translated from
    English; the response translated to English; or the English text as source and reference."""
    low: float = 0.0
    high: float = 1.0
    """An answer's raw score is mapped linearly from [low, high] to [0, 1]."""
    batch_size: int = Field(default=16, ge=1)
    dtype: Literal["bfloat16", "float32"] = "float32"
    """Of the encoder; the head is float32 always."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"comet.low {self.low:g} must be below comet.high {self.high:g}")
        return self


class TranslatorConfig(Section):
    """A seq2seq translator, loaded where the reward asks for one."""

    model: str = "facebook/nllb-200-distilled-600M"
    """A name on the hub or a local folder. This one's licence is CC-BY-NC-4.0: not for commercial use."""
    batch_size: int = Field(default=16, ge=1)
    max_tokens: int = Field(default=256, ge=1)
    """Longest sentence, in tokens; a longer one is split between words."""
    dtype: Literal["bfloat16", "float32"] = "float32"


def needs_translator(reward: RewardConfig, comet: CometConfig) -> bool:
    """Whether scorers load the model of [translator]: for the judge, or to feed COMET."""
    for_judge = reward.reasoning.judge == "translation" and reward.reasoning.translator == "seq2seq"
    return for_judge or (reward.needs_comet and comet.feeding in ("forward", "back"))
