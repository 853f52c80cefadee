"""Load and shard the models of one rank, each in a ZeRO-3 engine: the policy, its frozen reference, PPO's critic."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.deepspeed import HfDeepSpeedConfig

from actors.learning.logprobs import HeadSettings
from actors.learning.lora import adapters_off, add_adapters
from actors.learning.policy_model import PolicyModel, load_causal_model, load_model_config, num_parameter_bytes
from actors.learning.rank_setup import RankPlace, RankSetup
from actors.learning.rows import RowInputs
from actors.learning.schedule import Schedule
from actors.learning.sequence_parallel import Result, SequenceGroup
from actors.learning.value_model import load_value_model
from actors.learning.zero_config import Settings, frozen_settings, stays_whole, training_settings
from actors.learning.zero_engine import FrozenEngine, ZeroEngine, measuring
from contracts.config.learning import LearnerConfig
from contracts.config.section import decided
from contracts.model_config import check_heads

Model = TypeVar("Model", bound=nn.Module)

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, kw_only=True)
class RankModels:
    """Hold the models of this rank."""

    causal: PreTrainedModel  # the one inside `policy`
    sequence_group: SequenceGroup | None  # None: each rank has rows of its own
    policy: ZeroEngine
    frozen: FrozenEngine | None  # the reference, if it is a model of its own
    critic: ZeroEngine | None

    @property
    def learning(self) -> dict[str, ZeroEngine]:
        """Return the engines that learn, by the name that a checkpoint gives them."""
        return {"policy": self.policy} | ({"critic": self.critic} if self.critic else {})

    @property
    def leads_group(self) -> bool:
        """Return whether this rank answers for its rows. Of the ranks that split a row, the first one does."""
        return self.sequence_group is None or self.sequence_group.rank == 0

    def on_whole_rows(self, forward: Callable[[RowInputs], Result]) -> Callable[[RowInputs], Result]:
        """Return `forward` for whole rows, whether ranks split them or not."""
        return forward if self.sequence_group is None else self.sequence_group.split(forward)

    @contextmanager
    def as_reference(self) -> Iterator[nn.Module]:
        """Yield the policy as it was at the start: a second model, or the policy with its adapter switched off."""
        if self.frozen is not None:
            with measuring(self.frozen) as model:
                yield model
        else:
            with measuring(self.policy) as model, adapters_off(self.causal):
                yield model

    def states(self) -> Iterator[Tensor]:
        """Yield all tensors that the engines keep between two calls."""
        for engine in self._engines:
            yield from engine.states()

    def close(self) -> None:
        """Free all engines."""
        for engine in self._engines:
            engine.close()

    @property
    def _engines(self) -> list[ZeroEngine | FrozenEngine]:
        return [engine for engine in (self.critic, self.frozen, self.policy) if engine is not None]


def build_models(setup: RankSetup, place: RankPlace) -> RankModels:
    """Build the models of a rank. Every rank builds the same models in the same order.

    Raises:
        BadInput: a model can't be trained by the learner.
    """
    _check_heads(setup)
    causal, policy = _build_policy(setup, place)
    needs_frozen = setup.has_reference and setup.learner.lora is None
    return RankModels(
        causal=causal,
        policy=policy,
        frozen=_build_reference(setup, place) if needs_frozen else None,
        critic=_build_critic(setup, place) if setup.has_critic else None,
        sequence_group=_sequence_group(setup.learner),
    )


def _sequence_group(learner: LearnerConfig) -> SequenceGroup | None:
    size = learner.sequence_parallel_size
    return SequenceGroup.join(size, timeout_s=learner.timeout_s) if size > 1 else None


def _check_heads(setup: RankSetup) -> None:
    """Refuse a model whose heads can't be divided over the ranks that split a row.

    Raises:
        BadInput: always in this case.
    """
    for model in {setup.policy.model, setup.critic_model} if setup.has_critic else {setup.policy.model}:
        config = load_model_config(model, trust_remote_code=setup.policy.trust_remote_code)
        check_heads(config.to_dict(), model, num_ranks=setup.learner.sequence_parallel_size)


def _build_policy(setup: RankSetup, place: RankPlace) -> tuple[PreTrainedModel, ZeroEngine]:
    learner = setup.learner
    num_bytes = _num_bytes(setup.policy.model, setup)
    settings = training_settings(
        learner,
        learning_rate=learner.learning_rate,
        max_grad_norm=learner.max_grad_norm,
        num_parameter_bytes=num_bytes,
        place=place,
    )

    def load() -> PreTrainedModel:
        causal = _load_causal(setup, place, gradient_checkpointing=learner.gradient_checkpointing)
        return causal if learner.lora is None else add_adapters(causal, learner.lora, seed=setup.seed)

    causal = _sharded(settings, load)
    schedule = Schedule(
        kind=learner.schedule,
        warmup_steps=learner.warmup_steps,
        total_steps=setup.total_optimizer_steps,
        floor=learner.min_learning_rate / learner.learning_rate,
    )
    engine = ZeroEngine(
        PolicyModel(causal, _head(setup)),
        settings,
        weight_decay=learner.weight_decay,
        schedule=schedule,
        world_size=place.world_size,
        reduces_once=_reduces_once(setup, place, num_bytes),
    )
    return causal, engine


def _build_reference(setup: RankSetup, place: RankPlace) -> FrozenEngine:
    num_bytes = _num_bytes(setup.policy.model, setup)
    settings = frozen_settings(setup.learner, num_parameter_bytes=num_bytes, place=place)
    causal = _sharded(settings, lambda: _load_causal(setup, place, gradient_checkpointing=False))
    return FrozenEngine(PolicyModel(causal, _head(setup)), settings)


def _build_critic(setup: RankSetup, place: RankPlace) -> ZeroEngine:
    learner, critic = setup.learner, setup.critic
    num_bytes = _num_bytes(setup.critic_model, setup)
    settings = training_settings(
        learner,
        learning_rate=critic.learning_rate,
        max_grad_norm=critic.max_grad_norm,
        num_parameter_bytes=num_bytes,
        place=place,
    )
    model = _sharded(
        settings,
        lambda: load_value_model(
            setup.critic_model,
            dtype=DTYPES[learner.dtype],
            device=place.device,
            attention=learner.attention,
            gradient_checkpointing=learner.gradient_checkpointing,
            trust_remote_code=setup.policy.trust_remote_code,
        ),
    )
    schedule = Schedule(
        kind=learner.schedule,
        warmup_steps=critic.warmup_steps,
        total_steps=setup.total_optimizer_steps,
        floor=learner.min_learning_rate / learner.learning_rate,
    )
    return ZeroEngine(
        model,
        settings,
        weight_decay=learner.weight_decay,
        schedule=schedule,
        world_size=place.world_size,
        reduces_once=_reduces_once(setup, place, num_bytes),
    )


def _load_causal(setup: RankSetup, place: RankPlace, *, gradient_checkpointing: bool) -> PreTrainedModel:
    return load_causal_model(
        setup.policy.model,
        dtype=DTYPES[setup.learner.dtype],
        device=place.device,
        attention=setup.learner.attention,
        gradient_checkpointing=gradient_checkpointing,
        trust_remote_code=setup.policy.trust_remote_code,
    )


def _head(setup: RankSetup) -> HeadSettings:
    return HeadSettings(
        temperature=setup.head_temperature,
        chunk_tokens=decided(setup.learner.logprob_chunk_tokens),
        vocab_size=setup.policy.vocab_size,
        entropy_gradient=setup.algorithm.entropy_coefficient > 0,
    )


def _num_bytes(model: str, setup: RankSetup) -> int:
    trust = setup.policy.trust_remote_code
    config = load_model_config(model, trust_remote_code=trust)
    return num_parameter_bytes(config, DTYPES[setup.learner.dtype], trust_remote_code=trust)


def _reduces_once(setup: RankSetup, place: RankPlace, num_bytes: int) -> bool:
    """Return whether gradients are reduced once a step instead of once a micro-batch.

    gloo takes about a second to reduce 100 million gradients. A model that is whole on every rank also has memory for
    its gradients: they are added up over the micro-batches, in the model's own dtype, before they are sent.
    """
    return not place.reduces_in_background and stays_whole(setup.learner, num_bytes)


def _sharded(settings: Settings, load: Callable[[], Model]) -> Model:
    """Return the model that `load` loads, with every parameter sharded as soon as it is loaded."""
    sharded_loading = HfDeepSpeedConfig(settings)  # from_pretrained shards as long as this object exists
    model = load()
    del sharded_loading
    return model
