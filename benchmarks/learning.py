"""Tokens per second of the learner, beside a bare DeepSpeed loop on the same packed tensors.

The learner is asked through the driver's port, as in a run: its time runs from the batch to the report, Ray included.
The bare side is what DeepSpeed's and transformers' own pages teach: AutoModelForCausalLM under the same ZeRO-3
settings, logits, cross-entropy weighted by the advantages, backward, step; timed in its own actors, the slowest rank
counts. It is measured twice: with the logits of all tokens, as written first, and of those alone that carry loss, as
written by someone who minds. Both sides run one optimiser step on the same rows, ranks and threads.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import ray

from actors.learner import LearnerGroup
from actors.learning.zero_config import GatherLimits, Settings, zero_settings
from actors.process import ProcessInfo, RemoteActor, this_process
from benchmarks.measure import Comparison, Round, Side, Sizes, interleaved, timed
from benchmarks.ranks import start_learner
from benchmarks.reserve import reserved
from benchmarks.workload import Prompts
from cluster.launch import Bundles, start_actor
from cluster.layout import Placement
from driver.config import Config
from driver.schema import PackedRow, TrainBatch


@ray.remote
class BareRank:
    """What one would write without this project; nothing of it runs in `step`."""

    def __init__(self, rank: int, world_size: int) -> None:
        self._rank, self._world_size = rank, world_size

    def ready(self) -> ProcessInfo:
        return this_process()

    def address(self) -> tuple[str, int]:
        """Where the ranks can meet."""
        import socket

        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def setup(self, config: Config, settings: Settings, *, device: str, master: tuple[str, int]) -> None:
        os.environ |= {
            "DS_ACCELERATOR": device,
            "RANK": str(self._rank),
            "WORLD_SIZE": str(self._world_size),
            "LOCAL_RANK": "0",
            "MASTER_ADDR": master[0],
            "MASTER_PORT": str(master[1]),
        }
        import deepspeed
        import deepspeed.ops
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.integrations.deepspeed import HfDeepSpeedConfig

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # compiled at the start otherwise
        deepspeed.init_distributed(dist_backend="gloo" if device == "cpu" else "nccl", auto_mpi_discovery=False)
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

    def step(self, rows: Sequence[PackedRow], num_loss_tokens: int, *, all_logits: bool) -> Round:
        import torch
        from torch.nn.functional import cross_entropy

        def step() -> float:
            for index, row in enumerate(rows):
                token_ids = torch.tensor(row.token_ids, device=self._device)
                positions = torch.tensor(row.loss_mask.nonzero()[0], device=self._device)
                advantages = torch.tensor(row.advantages, device=self._device)[positions]
                self._engine.set_gradient_accumulation_boundary(index == len(rows) - 1)
                logits = self._engine(
                    input_ids=token_ids[None],
                    position_ids=torch.tensor(row.position_ids, device=self._device)[None],
                    use_cache=False,
                    logits_to_keep=0 if all_logits else positions - 1,
                ).logits[0]
                predicted = logits[positions - 1] if all_logits else logits
                losses = cross_entropy(predicted.float(), token_ids[positions], reduction="none") * advantages
                self._engine.backward(losses.sum() * (self._world_size / num_loss_tokens))
            self._engine.step()
            return float(sum(row.token_ids.size for row in rows))

        return timed(step)


def run(sizes: Sizes) -> list[Comparison]:
    config = sizes.config
    num_ranks = config.learner.num_ranks
    batch = Prompts(sizes).batch()
    with (
        reserved(config, ("learner",) * (2 * num_ranks), threads=sizes.threads) as bundles,
        asyncio.Runner() as runner,
    ):
        places = bundles.layout.placements
        learner, processes = runner.run(start_learner(config, bundles, places=places[:num_ranks], policy_workers=()))
        bare, bare_processes = _start_bare(config, bundles, places[num_ranks:])
        ours = Side(turn=_ours(learner, batch, runner), processes=(os.getpid(), *processes))
        return [
            _comparison(
                sizes,
                batch,
                interleaved(
                    ours,
                    Side(turn=_bare(bare, batch, all_logits=all_logits), processes=bare_processes),
                    rounds=sizes.rounds,
                ),
                all_logits=all_logits,
            )
            for all_logits in (True, False)
        ]


def _ours(learner: LearnerGroup, batch: TrainBatch, runner: asyncio.Runner) -> Callable[[int], Round]:
    async def step() -> float:
        return float((await learner.step(batch)).num_tokens)

    return lambda number: timed(lambda: runner.run(step()))


def _bare(ranks: Sequence[RemoteActor], batch: TrainBatch, *, all_logits: bool) -> Callable[[int], Round]:
    def turn(number: int) -> Round:
        rounds = ray.get(
            [
                rank.step.remote(rows, batch.num_loss_tokens, all_logits=all_logits)
                for rank, rows in zip(ranks, batch.rows, strict=True)
            ]
        )
        slowest = max(rounds, key=lambda one: one.seconds)
        return replace(slowest, work=sum(one.work for one in rounds))

    return turn


def _comparison(
    sizes: Sizes, batch: TrainBatch, rounds: tuple[tuple[Round, ...], tuple[Round, ...]], *, all_logits: bool
) -> Comparison:
    learner = sizes.config.learner
    return Comparison(
        name="learning" if all_logits else "learning, fewer logits",
        unit="tokens",
        ours="learner: packed attention, chunked head, policy loss with its metrics, Ray",
        bare="DeepSpeed loop on transformers' model with SDPA, weighted cross-entropy, logits of "
        + ("all tokens" if all_logits else "the tokens with loss only"),
        aim=0.9,
        our_rounds=rounds[0],
        bare_rounds=rounds[1],
        work=f"{batch.num_sequences} sequences, {rounds[0][0].work:,.0f} tokens, of which "
        f"{batch.num_loss_tokens:,} carry loss, {len(batch.rows[0])} rows of at most {sizes.config.row_tokens} on each "
        f"of {learner.num_ranks} ranks; {learner.dtype}, threads a rank: {sizes.threads}",
    )


def _start_bare(
    config: Config, bundles: Bundles, places: Sequence[Placement]
) -> tuple[list[RemoteActor], tuple[int, ...]]:
    """Bare ranks with the settings that the learner has, and the ids of their processes."""
    ranks = [start_actor(BareRank, place, bundles, (rank, len(places))) for rank, place in enumerate(places)]
    master = ray.get(ranks[0].address.remote())
    settings = _settings(config, bundles.layout.device)
    device = bundles.layout.device
    ray.get([rank.setup.remote(config, settings, device=device, master=master) for rank in ranks])
    return ranks, tuple(process.pid for process in ray.get([rank.ready.remote() for rank in ranks]))


def _settings(config: Config, device: str) -> Settings:
    """The learner's own, imported here because it is a rank's business how large its model is."""
    import torch

    from actors.learning.policy_model import load_model_config, num_parameter_bytes

    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[config.learner.dtype]
    return zero_settings(
        config.learner,
        GatherLimits(bucket_bytes=config.weights.bucket_mib << 20),
        num_parameter_bytes=num_parameter_bytes(load_model_config(config.policy.model), dtype),
        device=device,
    )
