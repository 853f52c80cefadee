"""The typed configuration of a run: one frozen class per section, unknown keys rejected, defaults only here and
in the sections that it imports.

Owns what may be set, its bounds and the checks across sections. Loading TOML and overrides is contracts/config/load.py.
Must import neither torch nor Ray: `plan` and `-h` answer at once.
"""

from collections.abc import Collection
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from contracts.config.fleet import FleetConfig
from contracts.config.learning import AlgorithmConfig, CheckpointConfig, CriticConfig, ExportConfig, LearnerConfig
from contracts.config.reward import CometConfig, RewardConfig, ScorerConfig, TranslatorConfig
from contracts.config.section import Section
from contracts.paths import absolute
from languages.facts import builtin_languages, read_own_languages
from languages.language import Language


def check_languages(codes: tuple[str, ...], where: str, *, known: Collection[str]) -> None:
    """Check the languages of one key.

    Raises:
        ValueError: a language is named twice, or is not among those that are known.
    """
    for code in codes:
        if code not in known:
            raise ValueError(
                f"{where}: unknown language {code!r}; known are {', '.join(sorted(known))}; data.language_files adds "
                "languages of your own"
            )
    if len(set(codes)) != len(codes):
        raise ValueError(f"{where} names a language twice: {', '.join(codes)}")


class RunConfig(Section):
    name: str = ""
    """Folder under `folder`; empty means the config's file name and the time of the start."""
    folder: str = "runs"
    """Where run folders live; relative to the project root, wherever the command was started."""
    seed: int = Field(default=1, ge=0)
    """Fixes problems, order, every sampling seed and the learner's initial state."""


class DataConfig(Section):
    source: Literal["builtin", "jsonl", "parquet", "huggingface", "mgsm"] = "builtin"
    path: str = ""
    """jsonl, parquet: a file; mgsm: the folder of its TSV files; huggingface: the dataset's name or a local folder."""
    split: str = "train"
    """builtin: train or test; huggingface: the split's name; other sources have no splits."""
    languages: tuple[str, ...] = Field(default=("de", "fr", "es"), min_length=1)
    """Languages to train on (ISO 639-1), interleaved evenly."""
    language_files: tuple[str, ...] = ()
    """Files of languages of your own, known beside the built-in ones (docs/languages.md)."""
    levels: tuple[int, ...] = (1, 2, 3, 4)
    """builtin only: difficulty levels (number of arithmetic steps) to draw from."""
    num_items: int = Field(default=2000, ge=1)
    """builtin only: how many items the training set has."""
    shares: tuple[float, ...] = ()
    """Share of each of `languages` in what is learned from, in their order; empty: all alike."""
    curriculum: Literal["off", "success_rate"] = "off"
    """success_rate: problems that were always or never solved when last seen (by the pivot's answers, not by gold) are
    mostly passed over."""
    curriculum_low: float = Field(default=0.05, ge=0, le=1)
    """A success rate below this counts as never solved."""
    curriculum_high: float = Field(default=0.95, ge=0, le=1)
    """A success rate above this counts as always solved."""
    curriculum_keep: float = Field(default=0.25, gt=0, le=1)
    """Share of such problems that is drawn all the same: what is too hard now need not stay so."""

    @cached_property
    def own_languages(self) -> tuple[Language, ...]:
        """The languages of `language_files`, read once.

        Raises:
            LanguageFileError: a file is wrong.
        """
        return read_own_languages([absolute(file) for file in self.language_files])

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _ = self.own_languages  # a mistake in a language file is reported before an unknown language
        if self.source != "builtin" and not self.path:
            raise ValueError(f"data.path is empty: source {self.source!r} needs one")
        if self.shares and (len(self.shares) != len(self.languages) or min(self.shares) <= 0):
            raise ValueError(
                f"data.shares has {len(self.shares)} numbers for {len(self.languages)} languages; it needs one above 0 "
                "for each"
            )
        if self.curriculum_low > self.curriculum_high:
            raise ValueError(
                f"data.curriculum_low {self.curriculum_low:g} is above data.curriculum_high {self.curriculum_high:g}"
            )
        if unknown := set(self.levels) - {1, 2, 3, 4}:
            raise ValueError(f"data.levels has {sorted(unknown)}; levels are 1, 2, 3 and 4")
        return self


class PromptConfig(Section):
    num_exemplars: int = Field(default=0, ge=0, le=8)
    """Worked examples in the question's language before the question (the built-in set's, never a test item)."""
    system: str = ""
    """System message, sent as it is; empty sends none."""


class EngineConfig(Section):
    """A vLLM engine: the policy's or the pivot's."""

    model: str
    """A Hugging Face name or a local folder."""
    num_workers: int = Field(default=1, ge=1)
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs per worker."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    max_model_len: int = Field(default=1024, ge=16)
    """Prompt and response together, in tokens."""
    max_num_seqs: int = Field(default=64, ge=1)
    """Sequences decoded at once by one worker."""
    gpu_memory_utilization: float = Field(default=0.85, gt=0, le=1)
    kv_cache_gib: float = Field(default=0.5, gt=0)
    """KV cache of one worker on a CPU, in GiB; on a GPU gpu_memory_utilization decides."""
    num_cpus: float = Field(default=1, gt=0)
    """CPU cores that Ray sets aside for one worker; rounded down, and at least 1, its number of threads."""
    timeout_s: float = Field(default=1800, gt=0)
    """Longest that one request may take, waiting for its turn included."""
    chat_template: str = ""
    """File with a Jinja chat template, for a tokenizer that has none."""
    trust_remote_code: bool = False


class PolicyConfig(EngineConfig):
    timeout_s: float = Field(default=3600, gt=0)
    """As above; longer than learner.timeout_s: requests wait for a push, and outlive a learner that hangs in one."""
    min_workers: int = Field(default=1, ge=1)
    """The run goes on with fewer workers than num_workers, but not with fewer than this."""
    max_workers: int = Field(default=0, ge=0)
    """Workers are added up to this while the cluster has room for them; 0: num_workers."""
    max_response_tokens: int = Field(default=128, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    """While training; top_p = 1 and top_k = -1 always, so that log-probabilities mean what the learner thinks."""

    @property
    def most_workers(self) -> int:
        """That a cluster with room may have."""
        return self.max_workers or self.num_workers


class PivotConfig(EngineConfig):
    max_response_tokens: int = Field(default=192, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    """0 is greedy."""
    num_exemplars: int = Field(default=0, ge=0, le=8)
    """Worked English examples before the question."""
    cache: str = ".cache/references"
    """Folder of the reference cache; shared by runs. Empty: no cache on disk."""
    num_references: int = Field(default=1, ge=1)
    """References drawn per item; of several, the answer that most of them give decides, and the first that gives it is
    used."""
    min_agreement: float = Field(default=0.5, ge=0, le=1)
    """num_references above 1: share of them that must give the winning answer, else the item is undecided and its
    groups are dropped."""

    @model_validator(mode="after")
    def _votes_differ(self) -> Self:
        if self.num_references > 1 and self.temperature == 0:
            raise ValueError(
                f"pivot.num_references {self.num_references} at pivot.temperature 0 are all the same; raise the "
                "temperature, or ask for one"
            )
        return self


class WeightsConfig(Section):
    backend: Literal["auto", "object_store", "nccl"] = "auto"
    """How weights travel to vLLM: auto is nccl on GPUs and object_store (Ray's) without."""
    bucket_mib: int = Field(default=128, ge=1)
    """Most that is gathered at once on a rank."""
    timeout_s: float = Field(default=600, gt=0)
    """Longest that one message of a push (announce, a bucket, finish) may take; a worker that misses a push is sent it
    once more, and replaced when it misses that too."""


class EvaluationConfig(Section):
    source: Literal["builtin", "jsonl", "parquet", "huggingface", "mgsm"] = "builtin"
    path: str = ""
    split: str = "test"
    languages: tuple[str, ...] = ()
    """Empty: English and the languages of data.languages."""
    levels: tuple[int, ...] = (1, 2, 3, 4)
    num_items: int = Field(default=50, ge=1)
    """Items per language."""
    max_response_tokens: int = Field(default=0, ge=0)
    """0: policy.max_response_tokens."""
    before: bool = True
    after: bool = True

    @model_validator(mode="after")
    def _has_its_path(self) -> Self:
        if self.source != "builtin" and not self.path:
            raise ValueError(f"evaluation.path is empty: source {self.source!r} needs one")
        return self


class AuditConfig(Section):
    """The reward measured by itself: faithful solutions against ways to cheat."""

    source: str = "builtin"
    """builtin, or a file of parallel solutions (docs/rewards.md, "Parallel texts")."""
    languages: tuple[str, ...] = ()
    """Empty means all that the source has."""
    num_items: int = Field(default=40, ge=2)
    """Items per language, the first of the source."""
    ablation: bool = False
    """Do it again with every part and gate switched off, one by one."""


class ClusterConfig(Section):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where the cluster has GPUs, else cpu."""
    placement_timeout_s: float = Field(default=300, gt=0)
    """Longest to wait for the cluster to provide what the run asks for."""
    start_timeout_s: float = Field(default=900, gt=0)
    """Longest that an actor may take to load its model."""
    include_dashboard: bool = False
    """Start Ray's dashboard (loopback only) when the run starts its own local Ray."""


class Config(Section):
    """A whole run. Sections are handed out one by one: nobody below the driver sees all of it."""

    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    prompt: PromptConfig = PromptConfig()
    policy: PolicyConfig
    pivot: PivotConfig
    scorer: ScorerConfig
    reward: RewardConfig = RewardConfig()
    comet: CometConfig = CometConfig()
    translator: TranslatorConfig = TranslatorConfig()
    algorithm: AlgorithmConfig
    learner: LearnerConfig = LearnerConfig()
    critic: CriticConfig = CriticConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    export: ExportConfig = ExportConfig()
    weights: WeightsConfig = WeightsConfig()
    fleet: FleetConfig = FleetConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    audit: AuditConfig = AuditConfig()
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _known_languages(self) -> Self:
        known = {*builtin_languages(), *(language.code for language in self.data.own_languages)}
        for section, codes in (
            ("data", self.data.languages),
            ("evaluation", self.evaluation.languages),
            ("audit", self.audit.languages),
        ):
            check_languages(codes, f"{section}.languages", known=known)
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        algorithm = self.algorithm
        if algorithm.mini_batches > algorithm.groups_per_step:
            raise ValueError(
                f"algorithm.mini_batches {algorithm.mini_batches} is above algorithm.groups_per_step "
                f"{algorithm.groups_per_step}: a group is never torn between two optimiser steps"
            )
        if algorithm.group_size < 2 and algorithm.name != "sft" and self.reward.combine == "normalised":
            raise ValueError(
                'reward.combine "normalised" compares the responses of a group, and algorithm.group_size is '
                f"{algorithm.group_size}; raise it to at least 2, or choose another reward.combine"
            )
        sequences = algorithm.groups_per_step * (algorithm.group_size if algorithm.name != "sft" else 1)
        if sequences % self.learner.num_ranks:
            raise ValueError(
                f"a batch of algorithm.groups_per_step x group_size = {algorithm.groups_per_step} x "
                f"{sequences // algorithm.groups_per_step} = {sequences} responses can't be divided over "
                f"learner.num_ranks = {self.learner.num_ranks}; make it a multiple"
            )
        for name, engine in (("policy", self.policy), ("pivot", self.pivot)):
            if engine.max_response_tokens >= engine.max_model_len:
                raise ValueError(
                    f"{name}.max_response_tokens {engine.max_response_tokens} leaves no room for a prompt in "
                    f"{name}.max_model_len {engine.max_model_len}"
                )
        if algorithm.name != "sft" and self.policy.most_workers > algorithm.groups_in_flight:
            key = "max_workers" if self.policy.max_workers else "num_workers"
            raise ValueError(
                f"policy.{key} {self.policy.most_workers} can't all have work: a group goes to one worker, and "
                f"(algorithm.max_staleness + 1) x groups_per_step = {algorithm.max_staleness + 1} x "
                f"{algorithm.groups_per_step} = {algorithm.groups_in_flight} groups are in flight at most"
            )
        most = self.policy.most_workers
        if not self.policy.min_workers <= self.policy.num_workers <= most:
            raise ValueError(
                f"policy.num_workers {self.policy.num_workers} must lie between policy.min_workers "
                f"{self.policy.min_workers} and policy.max_workers {most}"
            )
        if 0 < self.learner.row_tokens < self.policy.max_model_len:
            raise ValueError(
                f"learner.row_tokens {self.learner.row_tokens} is below policy.max_model_len "
                f"{self.policy.max_model_len}: a longest response would fit into no row"
            )
        return self

    @property
    def total_optimizer_steps(self) -> int:
        """Of the whole run: what a learning-rate schedule counts."""
        return self.algorithm.steps * self.algorithm.optimizer_steps

    @property
    def row_tokens(self) -> int:
        """Longest packed row, in tokens."""
        return self.learner.row_tokens or self.policy.max_model_len

    @property
    def evaluation_languages(self) -> tuple[str, ...]:
        """English first, to see the gap, unless the config names its own."""
        return self.evaluation.languages or tuple(dict.fromkeys(("en", *self.data.languages)))
