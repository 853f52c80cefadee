"""Define the config sections of the reward and of the models that compute it."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from contracts.config.section import Auto, Choice, MayChange, Section
from contracts.errors import BadInput


class ScorerConfig(Section):
    """The actors that compute rewards, and their sentence encoder."""

    model: MayChange[str]
    """Sentence-transformers model: name on the Hugging Face hub, or a local folder. A run is continued only with the
    same weights."""
    num_workers: MayChange[int] = Field(default=1, ge=1)
    """Number of scorer actors."""
    batch_size: MayChange[int] = Field(default=32, ge=1)
    """Texts that are encoded at once."""
    batch_across_groups: MayChange[bool] = False
    """Encode the texts of all waiting groups together. This is faster on a GPU, but then the same seed gives rewards
    that differ in their last digits from run to run."""
    text_prefix: str = "query: "
    """Text put before every text. e5 models want "query: ", most others an empty text."""
    dtype: Literal["bfloat16", "float32"] = "float32"
    """Number format of the encoder."""
    trust_remote_code: bool = False
    """Run Python code that comes with the encoder."""
    num_cpus: MayChange[float] = Field(default=1, gt=0)
    """CPU cores of one worker."""
    num_gpus: MayChange[float] = Field(default=0, ge=0)
    """GPUs of one worker, where the cluster has GPUs; 0.25 lets four workers share one."""
    timeout_s: MayChange[float] = Field(default=300, gt=0)
    """Longest time that a group waits for its scores, all attempts included, in seconds. After that its responses are
    unscored."""
    attempts: MayChange[int] = Field(default=3, ge=1)
    """How often a group is tried, each time by the least loaded scorer, before it is unscored."""
    backoff_s: MayChange[float] = Field(default=0.5, ge=0)
    """Wait before the second attempt, in seconds; doubled before each further one."""


class RewardWeights(Section):
    """The weight of each reward component; the weights sum to 1."""

    answer: float = Field(default=0.6, ge=0, le=1)
    """Weight of the answer: 1 if the declared final answer is the pivot's, else 0."""
    reasoning: float = Field(default=0.08, ge=0, le=1)
    """Weight of the reasoning: how similar it is to the pivot's."""
    numbers: float = Field(default=0.32, ge=0, le=1)
    """Weight of the numbers: how well those of the reasoning agree with the pivot's."""
    custom: float = Field(default=0.0, ge=0, le=1)
    """Weight of the reward in `reward.custom.path`; above 0 only with one."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        weights = {name: getattr(self, name) for name in RewardWeights.model_fields}
        if abs(sum(weights.values()) - 1) > 1e-6:
            listed = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
            raise BadInput(
                f"reward.weights sum to {sum(weights.values()):g} ({listed}); they must sum to 1", key="reward.weights"
            )
        return self


class WeightPoint(RewardWeights):
    """The weights from one step on; between two points they change linearly."""

    step: int = Field(ge=0)
    """Step at which the weights have these values."""


class GatesConfig(Section):
    """Which gates are on. A closed gate makes the reward 0. A gate that is off is still measured and logged."""

    language: bool = True
    """The reasoning is in the asked language, line by line and as a whole. Without this gate the policy is known to
    collapse to English."""
    answer_language: bool = True
    """The sentence that declares the final answer is in the asked language."""
    format: bool = True
    """Exactly one final answer is declared, with no more than a unit after it."""
    truncation: bool = True
    """The response was not cut off at `max_response_tokens`."""
    empty: bool = True
    """There is some reasoning before the answer."""
    repetition: bool = True
    """No line or phrase comes again and again."""
    copying: bool = True
    """The reasoning is not the question written again."""
    length: bool = True
    """The reasoning is neither far shorter nor far longer than the reference's."""
    min_length_ratio: float = Field(default=0.2, ge=0)
    """Length gate: least letters of the reasoning, over letters of the reference's, both weighted by script."""
    max_length_ratio: float = Field(default=4.0, gt=0)
    """Length gate: most letters of the reasoning, over letters of the reference's, both weighted by script."""

    @model_validator(mode="after")
    def _ratios_are_in_order(self) -> Self:
        if self.min_length_ratio >= self.max_length_ratio:
            raise BadInput(
                f"reward.gates.min_length_ratio {self.min_length_ratio:g} must be below max_length_ratio "
                f"{self.max_length_ratio:g}",
                key="reward.gates.min_length_ratio",
            )
        return self

    @property
    def switches(self) -> dict[str, bool]:
        """Return whether each gate is on, by the gate's name, in the order in which gates are listed."""
        return {
            name: getattr(self, name) for name, field in GatesConfig.model_fields.items() if field.annotation is bool
        }


# --- [reward.reasoning] ----------------------------------------------------------------------------------------------


class CalibratedReasoning(Section):
    """Methods whose raw similarity is calibrated to [0, 1]."""

    baseline: Literal["language", "question"] = "language"
    """What counts as 0: what a question alone earns, as the mean of its language, or of this very question (one more
    text encoded for each group)."""
    calibration: str = "auto"
    """"auto": statistics in `.cache/calibration`, measured before the first step if they are missing. "off": the raw
    value is mapped from [low, high]. Else a file that `calibrate` wrote; it is refused if method, encoder or data
    differ."""
    calibration_data: str = "builtin"
    """"builtin", "logic", or a file of parallel solutions (rewards.md, "Parallel texts")."""
    calibration_items: int = Field(default=96, ge=8)
    """Parallel solutions that are measured for each language."""
    low: float = 0.80
    """Calibration "off": raw value that counts as 0, in every language."""
    high: float = 0.95
    """Calibration "off": raw value that counts as 1, in every language; linear in between."""

    @model_validator(mode="after")
    def _range_is_in_order(self) -> Self:
        if self.low >= self.high:
            raise BadInput(
                f"reward.reasoning.low {self.low:g} must be below high {self.high:g}", key="reward.reasoning.low"
            )
        return self

    @property
    def is_calibrated(self) -> bool:
        """Return whether the scale comes from a calibration, not from `low` and `high`."""
        return self.calibration != "off"


class EmbeddingReasoning(CalibratedReasoning):
    """Compare by the cosine of sentence embeddings, across languages."""

    method: Literal["embedding"] = "embedding"
    """How a reasoning is compared with the pivot's."""
    unit: Literal["sentence", "text"] = "sentence"
    """What is embedded: each sentence, which is compared with the closest one of the other text, or the whole text,
    which is cut only where it is longer than `chunk_tokens`."""
    chunk_tokens: Annotated[int, Field(ge=1)] | Auto = "auto"
    """Longest chunk that is embedded at once, in tokens. "auto" is what the encoder reads."""


class TranslationReasoning(CalibratedReasoning):
    """Translate the reasoning and compare it in English."""

    method: Literal["translation"]
    """How a reasoning is compared with the pivot's."""
    translator: Literal["seq2seq", "pivot"] = "seq2seq"
    """What translates: the model of `[translator]`, or the pivot's engine."""
    compare: Literal["embedding", "chrf"] = "embedding"
    """How the two English texts are compared: cosine of embeddings, or chrF."""
    chunk_tokens: Annotated[int, Field(ge=1)] | Auto = "auto"
    """Longest chunk that is embedded at once, in tokens. "auto" is what the encoder reads."""

    @model_validator(mode="after")
    def _baseline_needs_no_engine(self) -> Self:
        if self.baseline == "question" and self.translator == "pivot":
            raise BadInput(
                'reward.reasoning.baseline "question" scores the question too, and reward.reasoning.translator "pivot" '
                'translates no questions; choose baseline "language"',
                key="reward.reasoning.baseline",
            )
        return self


class CometReasoning(CalibratedReasoning):
    """Compare by COMET, segment by aligned segment."""

    method: Literal["comet"]
    """How a reasoning is compared with the pivot's."""


class LikelihoodReasoning(Section):
    """Mean probability of the pivot's answer after the policy's own reasoning. A probability needs no calibration."""

    method: Literal["likelihood"]
    """How a reasoning is compared with the pivot's."""


ReasoningConfig: TypeAlias = Annotated[
    EmbeddingReasoning | TranslationReasoning | CometReasoning | LikelihoodReasoning,
    Choice("method", default="embedding"),
]


# --- [reward] --------------------------------------------------------------------------------------------------------


class CustomRewardConfig(Section):
    """A reward of your own (custom_reward.md)."""

    path: str | None = None
    """Python file with the reward. Left out: none."""
    function: str = "reward"
    """Name of its function. It takes a ScoreRequest and returns one number in [0, 1] for each response; it may be
    async."""


ThinkingUse: TypeAlias = Literal["ignored", "judged", "refused"]


class RewardConfig(Section):
    """What a response earns (rewards.md)."""

    thinking: ThinkingUse = "ignored"
    """What becomes of the text that a thinking model writes before its answer (`policy.thinking_markers`). "ignored":
    only the answer counts, and the language of the thinking is measured. "judged": the language gate and the reasoning
    look at the thinking too. "refused": a response with thinking earns nothing."""

    weights: RewardWeights = RewardWeights()
    schedule: tuple[WeightPoint, ...] = ()
    """Weights by step in place of `reward.weights`, e.g. `[{step = 0, answer = 1, reasoning = 0, numbers = 0}, {step =
    100}]`; linear in between. A weight that a point leaves out has its default. An empty list: no schedule."""
    combine: Literal["sum", "normalised", "answer_gated"] = "sum"
    """"sum": weighted sum of the components; "normalised": each component is first normalised inside its group (GDPO);
    "answer_gated": other components count only as far as the answer is right."""
    spread_floor: float = Field(default=0.05, gt=0)
    """"normalised": least standard deviation that a component is divided by, so that noise is not amplified."""
    gates: GatesConfig = GatesConfig()
    reasoning: ReasoningConfig = EmbeddingReasoning()
    custom: CustomRewardConfig = CustomRewardConfig()
    unparsed_answers: Literal["unscored", "exact", "embedding", "comet"] = "unscored"
    """What happens if the pivot's answer is neither number, option nor formula: the group is unscored; only the same
    text is the same answer ("exact"); or the encoder, or COMET, compares the answers."""
    answer_low: float = 0.75
    """Unparsed answers "embedding": cosine that counts as 0, in every language."""
    answer_high: float = 0.95
    """Unparsed answers "embedding": cosine that counts as 1, in every language; linear in between."""
    min_group_spread: float = Field(default=1e-4, ge=0)
    """A group whose largest and smallest rewards ("normalised": normalised sums) differ by less is dropped and counted:
    it teaches nothing."""
    consistency_floor: MayChange[float] = Field(default=0.1, ge=0, le=1)
    """The run stops when the share of responses in the asked language stays below this in some language. 0 never
    stops."""
    consistency_steps: MayChange[int] = Field(default=20, ge=1)
    """Steps over which that share is measured."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(weights.custom > 0 for weights in (self.weights, *self.schedule)) and self.custom.path is None:
            raise BadInput(
                "the weight of custom is above 0, but reward.custom.path is not set; set it to your Python file",
                key="reward.custom.path",
            )
        if self.answer_low >= self.answer_high:
            raise BadInput(
                f"reward.answer_low {self.answer_low:g} must be below reward.answer_high {self.answer_high:g}",
                key="reward.answer_low",
            )
        steps = [point.step for point in self.schedule]
        if steps != sorted(set(steps)):
            raise BadInput(
                f"reward.schedule has steps {steps}; each must be larger than the one before", key="reward.schedule"
            )
        return self

    @property
    def needs_comet(self) -> bool:
        """Return whether scorers load the model of [comet]."""
        return self.reasoning.method == "comet" or self.unparsed_answers == "comet"


# --- [comet], [translator] -------------------------------------------------------------------------------------------


class CometConfig(Section):
    """A COMET checkpoint. Scorers load it if `reward.reasoning.method` or `reward.unparsed_answers` is "comet"."""

    model: str = "Unbabel/wmt20-comet-qe-da"
    """Name on the Hugging Face hub, or a local folder with `hparams.yaml` and `checkpoints/model.ckpt`. The default's
    licence is Apache-2.0."""
    encoder: str | None = None
    """Folder or name of the pretrained encoder's config and tokenizer. Left out: the one that `hparams.yaml` names."""
    feeding: Literal["quality", "forward", "back", "same"] = "quality"
    """What the model reads (K, F, B, D of comet.md). "quality": English source and response alone; "forward": also a
    reference translated from English; "back": the response translated to English; "same": the English text as source
    and reference."""
    low: float = 0.0
    """Raw score of an answer that counts as 0."""
    high: float = 1.0
    """Raw score of an answer that counts as 1; linear in between."""
    batch_size: MayChange[int] = Field(default=16, ge=1)
    """Segments that are scored at once."""
    dtype: Literal["bfloat16", "float32"] = "float32"
    """Number format of the encoder; the head is always float32."""

    @model_validator(mode="after")
    def _range_is_in_order(self) -> Self:
        if self.low >= self.high:
            raise BadInput(f"comet.low {self.low:g} must be below comet.high {self.high:g}", key="comet.low")
        return self


class TranslatorConfig(Section):
    """A seq2seq translator. Scorers load it if the method "translation" or COMET's feeding needs translations."""

    model: str = "facebook/nllb-200-distilled-600M"
    """Name on the Hugging Face hub, or a local folder. The default's licence is CC-BY-NC-4.0: not for commercial
    use."""
    batch_size: MayChange[int] = Field(default=16, ge=1)
    """Segments that are translated at once."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest sentence, in tokens; a longer one is split between words."""
    dtype: Literal["bfloat16", "float32"] = "float32"
    """Number format of the model."""


def needs_encoder(reward: RewardConfig) -> bool:
    """Return whether scorers load the model of [scorer], to compare reasonings or answers."""
    reasoning = reward.reasoning
    compares_translations = isinstance(reasoning, TranslationReasoning) and reasoning.compare == "embedding"
    compares_answers = reward.unparsed_answers == "embedding"
    return isinstance(reasoning, EmbeddingReasoning) or compares_translations or compares_answers


def needs_translator(reward: RewardConfig, comet: CometConfig) -> bool:
    """Return whether scorers load the model of [translator]: to compare reasonings, or for COMET."""
    reasoning = reward.reasoning
    compares = isinstance(reasoning, TranslationReasoning) and reasoning.translator == "seq2seq"
    return compares or (reward.needs_comet and comet.feeding in ("forward", "back"))
