"""Define the whole config of a run: all sections, and what is checked across them.

Defaults are here and in the modules of the sections, nowhere else. This package imports neither torch nor Ray, so that
`plan` and `-h` answer at once.
"""

import datetime
from functools import partial
from typing import Self

from pydantic import Field, PositiveInt, model_validator

from contracts.config.data import (
    AuditConfig,
    BuiltinData,
    BuiltinEvaluation,
    DataConfig,
    EvaluationConfig,
    LogicData,
    PromptConfig,
    TranslateConfig,
    check_languages,
)
from contracts.config.learning import (
    AlgorithmConfig,
    CheckpointConfig,
    CriticConfig,
    ExportConfig,
    LearnerConfig,
    PolicyGradientConfig,
)
from contracts.config.logic import check_logic, check_logic_reward
from contracts.config.reward import CometConfig, RewardConfig, ScorerConfig, TranslatorConfig
from contracts.config.section import Auto, MayChange, Section, decided
from contracts.config.sinks import SinksConfig
from contracts.config.workers import (
    MAX_ADAPTER_RANK,
    ClusterConfig,
    FleetConfig,
    PivotConfig,
    PolicyConfig,
    WeightsConfig,
    check_template_arguments,
)
from contracts.errors import BadInput, check_all
from languages.facts import builtin_languages


class RunConfig(Section):
    """The run's folder and its seed."""

    name: MayChange[str | None] = None
    """Name of the run's folder. Left out: the config's file name and the time of the start. A run that is in that
    folder is continued by `train`; the other commands refuse a folder that is not empty."""
    folder: MayChange[str] = "runs"
    """Folder of the run folders. A relative path starts at the project's root, wherever the command was started."""
    date: datetime.date | Auto = "auto"
    """Date that chat templates which write one get, such as 2026-05-04. "auto" is the day of the run's first start.
    References that are made ahead with such a template belong to their date: give it here (data.md, "Dates")."""
    seed: int = Field(default=1, ge=0)
    """Fixes the problems, their order, every sampling seed, the learner's initial state and the built-in evaluation
    items."""


class TraceConfig(Section):
    """Hold which steps are traced."""

    steps: tuple[PositiveInt, ...] = ()
    """Steps of which `trace.json` in the run folder shows what ran when: stages and actors as lanes, groups as arrows
    from draw to update. ui.perfetto.dev opens it."""


class Config(Section):
    """Hold the whole config. Sections are passed on one by one: nothing below the driver gets all of it."""

    run: RunConfig = RunConfig()
    data: DataConfig = BuiltinData()
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
    checkpoint: MayChange[CheckpointConfig] = CheckpointConfig()
    export: MayChange[ExportConfig] = ExportConfig()
    weights: MayChange[WeightsConfig] = WeightsConfig()
    fleet: MayChange[FleetConfig] = FleetConfig()
    evaluation: EvaluationConfig = BuiltinEvaluation()
    translate: MayChange[TranslateConfig] = TranslateConfig()
    audit: MayChange[AuditConfig] = AuditConfig()
    cluster: MayChange[ClusterConfig] = ClusterConfig()
    sinks: MayChange[SinksConfig] = SinksConfig()
    trace: MayChange[TraceConfig] = TraceConfig()

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        engines = {"policy": self.policy, "pivot": self.pivot}
        check_all(
            self._check_known_languages,
            self._check_batch,
            self._check_evaluation,
            self._check_logic,
            self._check_workers,
            self._check_shared_gpus,
            self._check_adapters,
            self._check_turns,
            *(partial(check_template_arguments, engine, name) for name, engine in engines.items()),
            *(partial(_check_lengths, engine, name) for name, engine in engines.items()),
            self._check_rows,
        )
        return self

    def _check_known_languages(self) -> None:
        known = {*builtin_languages(), *(language.code for language in self.data.own_languages)}
        audited = () if self.audit.languages == "all" else self.audit.languages
        evaluated = () if self.evaluation.languages == "auto" else self.evaluation_languages
        named = {"data.languages": self.data.languages, "evaluation.languages": evaluated, "audit.languages": audited}
        named["translate.into"] = self.translate.into
        for key in ("exemplars", "instructions", "question_prefixes"):
            named[f"prompt.{key}"] = tuple(getattr(self.prompt, key))
        check_all(*(partial(check_languages, codes, key, known=known) for key, codes in named.items()))

    def _check_logic(self) -> None:
        if isinstance(self.data, LogicData):
            check_logic(self.data, self.prompt, self.evaluation)
            if isinstance(self.algorithm, PolicyGradientConfig):
                check_logic_reward(self.data, self.reward)

    def _check_evaluation(self) -> None:
        if self.evaluation.languages == "all" and not self.evaluation.tasks:
            raise BadInput(
                'evaluation.languages "all" is for evaluation.tasks; name the languages of the source',
                key="evaluation.languages",
            )

    def _check_rows(self) -> None:
        row_tokens = self.learner.row_tokens
        if row_tokens != "auto" and row_tokens < self.policy.max_model_len:
            raise BadInput(
                f"learner.row_tokens {row_tokens} is below policy.max_model_len {self.policy.max_model_len}: the "
                "longest response would fit into no row",
                key="learner.row_tokens",
            )

    def _check_batch(self) -> None:
        algorithm = self.algorithm
        if algorithm.mini_batches > algorithm.groups_per_step:
            raise BadInput(
                f"algorithm.mini_batches {algorithm.mini_batches} is above algorithm.groups_per_step "
                f"{algorithm.groups_per_step}: a group is never divided between two optimiser steps",
                key="algorithm.mini_batches",
            )
        is_sampled = isinstance(algorithm, PolicyGradientConfig)
        if is_sampled and algorithm.group_size < 2 and self.reward.combine == "normalised":
            raise BadInput(
                'reward.combine "normalised" compares the responses of a group, and algorithm.group_size is '
                f"{algorithm.group_size}; raise it to at least 2, or choose another reward.combine",
                key="reward.combine",
            )
        samples = algorithm.groups_per_step * algorithm.samples_per_problem
        if samples < self.learner.data_parallel_size:
            size = f" x group_size = {algorithm.groups_per_step} x {algorithm.group_size}" if is_sampled else ""
            split = self.learner.sequence_parallel_size
            groups = "" if split == 1 else f" in groups of learner.sequence_parallel_size {split}"
            raise BadInput(
                f"learner.num_ranks {self.learner.num_ranks}{groups} can't all have work: a batch has "
                f"algorithm.groups_per_step{size} = {samples} samples; lower learner.num_ranks, or raise "
                "algorithm.groups_per_step",
                key="learner.num_ranks",
            )

    def _check_workers(self) -> None:
        algorithm, policy = self.algorithm, self.policy
        if isinstance(algorithm, PolicyGradientConfig) and policy.most_workers > algorithm.groups_in_flight:
            key = "num_workers" if policy.max_workers == "auto" else "max_workers"
            raise BadInput(
                f"policy.{key} {policy.most_workers} can't all have work: a group goes to one worker, and "
                f"(algorithm.max_staleness + 1) x groups_per_step = {algorithm.max_staleness + 1} x "
                f"{algorithm.groups_per_step} = {algorithm.groups_in_flight} groups are in flight at most",
                key=f"policy.{key}",
            )
        if not policy.min_workers <= policy.num_workers <= policy.most_workers:
            raise BadInput(
                f"policy.num_workers {policy.num_workers} must lie between policy.min_workers {policy.min_workers} and "
                f"policy.max_workers {policy.most_workers}",
                key="policy.num_workers",
            )

    def _check_adapters(self) -> None:
        lora = self.learner.lora
        if lora is not None and self.weights.lora == "adapter" and lora.rank > MAX_ADAPTER_RANK:
            raise BadInput(
                f"learner.lora.rank {lora.rank} is above {MAX_ADAPTER_RANK}, the most that vLLM applies; lower it, or "
                "set weights.lora = merged",
                key="learner.lora.rank",
            )

    def _check_shared_gpus(self) -> None:
        pivot, scorer = self.pivot.num_gpus, self.scorer.num_gpus
        if scorer > 1 and scorer != round(scorer):
            raise BadInput(
                f"scorer.num_gpus {scorer:g} is neither a part of a GPU nor a number of whole ones; round it",
                key="scorer.num_gpus",
            )
        if pivot != "auto" and 0 < scorer < 1 and pivot + scorer > 1 + 1e-9:
            raise BadInput(
                f"pivot.num_gpus {pivot:g} and scorer.num_gpus {scorer:g} are more than one GPU, so they can't share "
                "one; lower one of them",
                key="pivot.num_gpus",
            )

    def _check_turns(self) -> None:
        """Check that policy workers and learner ranks can use the same GPUs in turns, if they are to."""
        if not self.cluster.colocate:
            return
        algorithm, policy = self.algorithm, self.policy
        if not isinstance(algorithm, PolicyGradientConfig):
            raise BadInput(
                f'cluster.colocate is for runs that sample responses, and algorithm.name is "{algorithm.name}"; leave '
                "it out",
                key="cluster.colocate",
            )
        if algorithm.max_staleness > 0:
            raise BadInput(
                f"algorithm.max_staleness {algorithm.max_staleness} samples while the learner works, and with "
                "cluster.colocate they use the same GPUs in turns: set algorithm.max_staleness = 0, or leave out "
                "cluster.colocate",
                key="algorithm.max_staleness",
            )
        if policy.tensor_parallel_size > 1:
            raise BadInput(
                f"with cluster.colocate a policy worker shares its one GPU with a learner rank, and "
                f"policy.tensor_parallel_size is {policy.tensor_parallel_size}; set it to 1, or leave out "
                "cluster.colocate",
                key="policy.tensor_parallel_size",
            )
        if not policy.num_workers == policy.most_workers == self.learner.num_ranks:
            raise BadInput(
                "with cluster.colocate each learner rank shares the GPU of a policy worker: learner.num_ranks "
                f"{self.learner.num_ranks}, policy.num_workers {policy.num_workers} and policy.max_workers "
                f"{policy.most_workers} must be equal",
                key="learner.num_ranks",
            )
        if self.learner.lora is not None and self.weights.lora == "adapter":
            raise BadInput(
                "with cluster.colocate an engine gives up its weights, and adapters alone would not bring them back; "
                'set weights.lora = "merged"',
                key="weights.lora",
            )
        if self.weights.backend != "auto":
            raise BadInput(
                f'with cluster.colocate weights stay on the GPU, and weights.backend is "{self.weights.backend}"; set '
                'it to "auto"',
                key="weights.backend",
            )

    @property
    def total_optimizer_steps(self) -> int:
        """Return the optimiser steps of the whole run: what a learning-rate schedule counts."""
        return self.algorithm.steps * self.algorithm.optimizer_steps

    @property
    def row_tokens(self) -> int:
        """Return the length of the longest packed row, in tokens, once the device has decided it."""
        return decided(self.learner.row_tokens)

    @property
    def evaluation_languages(self) -> tuple[str, ...]:
        """Return the languages of the evaluation. "auto" has English first, to show the gap.

        Tasks may have further languages, which no language file describes: they are not among these.
        """
        languages = self.evaluation.languages
        if languages == "auto" or languages == "all":
            return tuple(dict.fromkeys(("en", *self.data.languages)))
        own = {language.code for language in self.data.own_languages}
        if self.evaluation.tasks:
            return tuple(code for code in languages if code in builtin_languages() or code in own)
        return languages

    @property
    def evaluation_max_tokens(self) -> int:
        """Return the longest response of the evaluation, in tokens."""
        limit = self.evaluation.max_response_tokens
        return self.policy.max_response_tokens if limit == "auto" else limit


def _check_lengths(engine: PolicyConfig | PivotConfig, name: str) -> None:
    if engine.max_response_tokens >= engine.max_model_len:
        raise BadInput(
            f"{name}.max_response_tokens {engine.max_response_tokens} leaves no tokens for a prompt in "
            f"{name}.max_model_len {engine.max_model_len}",
            key=f"{name}.max_response_tokens",
        )
