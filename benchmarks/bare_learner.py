"""Run the learner's bare side: a DeepSpeed ZeRO-3 loop around transformers' model, as both libraries document it.

No code of the project runs in a step. Settings and rows are the learner's.
"""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import ray

from actors.learning.process_group import join
from actors.learning.rank_setup import RankPlace
from actors.learning.zero_config import Settings
from actors.remote.process import ProcessInfo, RemoteActor, this_process
from benchmarks.measure import Round, timed
from cluster.launch import start_actor
from cluster.layout import Placement
from cluster.reserve import Bundles
from contracts.batches import PackedRow, TrainBatch
from contracts.config.run import Config


@dataclass(frozen=True, kw_only=True)
class Care:
    """Hold the settings that the author of such a loop chooses."""

    all_logits: bool  # logits of every token, not only of those that carry loss
    reduces_each: bool  # sends gradients after every row, not once a step


PLAIN = Care(all_logits=True, reduces_each=True)
TUNED = Care(all_logits=False, reduces_each=False)


@ray.remote
class BareRank:
    """Run one rank, in an actor of its own."""

    def __init__(self, rank: int, world_size: int) -> None:
        self._rank, self._world_size = rank, world_size

    def ready(self) -> ProcessInfo:
        """Return this process."""
        return this_process()

    def setup(self, config: Config, *, device: str, meeting: str) -> None:
        """Load the model and connect to the other ranks."""
        place = RankPlace(rank=self._rank, world_size=self._world_size, meeting=meeting, device=device)
        join(place, timeout_s=config.learner.timeout_s)
        import deepspeed
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.integrations.deepspeed import HfDeepSpeedConfig

        settings = _settings(config, place)
        self._sharded_loading = HfDeepSpeedConfig(settings)
        model = AutoModelForCausalLM.from_pretrained(
            config.policy.model,
            dtype={"bfloat16": torch.bfloat16, "float32": torch.float32}[config.learner.dtype],
            trust_remote_code=config.policy.trust_remote_code,
        )
        model.train()
        if config.learner.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
        self._engine, *_ = deepspeed.initialize(model=model, config=settings)
        self._device = device

    def step(self, rows: Sequence[PackedRow], num_loss_tokens: int, care: Care) -> Round:
        """Run one optimiser step on this rank's rows, and time it. The work is the number of tokens."""
        import torch
        from torch.nn.functional import cross_entropy

        def step() -> float:
            with nullcontext() if care.reduces_each else self._engine.coalesce_grad_reduction():
                for index, row in enumerate(rows):
                    token_ids = torch.tensor(row.token_ids, device=self._device)
                    positions = torch.tensor(row.loss_mask.nonzero()[0], device=self._device)
                    advantages = torch.tensor(row.advantages, device=self._device)[positions]
                    self._engine.set_gradient_accumulation_boundary(index == len(rows) - 1)
                    logits = self._engine(
                        input_ids=token_ids[None],
                        position_ids=torch.tensor(row.position_ids, device=self._device)[None],
                        use_cache=False,
                        logits_to_keep=0 if care.all_logits else positions - 1,
                    ).logits[0]
                    predicted = logits[positions - 1] if care.all_logits else logits
                    losses = cross_entropy(predicted.float(), token_ids[positions], reduction="none") * advantages
                    self._engine.backward(losses.sum() * (self._world_size / num_loss_tokens))
            self._engine.step()
            return float(sum(int((row.sequence_ids >= 0).sum()) for row in rows))

        return timed(step)


def start_bare(
    config: Config, bundles: Bundles, places: Sequence[Placement]
) -> tuple[list[RemoteActor], tuple[int, ...]]:
    """Start bare ranks with the learner's settings. Return them and the ids of their processes."""
    ranks = [start_actor(BareRank, place, bundles, (rank, len(places))) for rank, place in enumerate(places)]
    meeting = str(Path(tempfile.mkdtemp()) / "meeting")
    device = bundles.layout.device
    ray.get([rank.setup.remote(config, device=device, meeting=meeting) for rank in ranks])
    return ranks, tuple(process.pid for process in ray.get([rank.ready.remote() for rank in ranks]))


def bare_step(ranks: Sequence[RemoteActor], batch: TrainBatch, care: Care) -> Round:
    """Run one optimiser step on all ranks. Return the time of the slowest rank, and the tokens of all."""
    rounds: list[Round] = ray.get(
        [rank.step.remote(rows, batch.num_loss_tokens, care) for rank, rows in zip(ranks, batch.rows, strict=True)]
    )
    return Round(work=sum(one.work for one in rounds), seconds=max(one.seconds for one in rounds))


def _settings(config: Config, place: RankPlace) -> Settings:
    """Return the learner's own ZeRO settings. The imports are here because they load torch."""
    import torch

    from actors.learning.policy_model import load_model_config, num_parameter_bytes
    from actors.learning.zero_config import training_settings

    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[config.learner.dtype]
    trust = config.policy.trust_remote_code
    model = load_model_config(config.policy.model, trust_remote_code=trust)
    return training_settings(
        config.learner,
        learning_rate=config.learner.learning_rate,
        max_grad_norm=config.learner.max_grad_norm,
        num_parameter_bytes=num_parameter_bytes(model, dtype, trust_remote_code=trust),
        place=place,
    )
