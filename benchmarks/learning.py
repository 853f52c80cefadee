"""Tokens per second of the learner, beside a bare DeepSpeed loop on the same packed tensors.

The learner is asked through the driver's port, as in a run: its time runs from the batch to the report, Ray included.
The bare side is what DeepSpeed's and transformers' own pages teach: AutoModelForCausalLM under the same ZeRO-3
settings, all logits of a row, cross-entropy weighted by the advantages, backward, step; timed inside its own actors,
the slowest rank counts. Both run one optimiser step on the same rows, ranks and threads.
"""

import asyncio
import os
from collections.abc import Sequence
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
from driver.schema import PackedRow, StepReport, TrainBatch


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

    def step(self, rows: Sequence[PackedRow], num_loss_tokens: int) -> Round:
        import torch
        from torch.nn.functional import cross_entropy

        def step() -> float:
            for index, row in enumerate(rows):
                token_ids = torch.tensor(row.token_ids, device=self._device)
                labels = token_ids.masked_fill(~torch.tensor(row.loss_mask, device=self._device), -100)
                advantages = torch.tensor(row.advantages, device=self._device)
                self._engine.set_gradient_accumulation_boundary(index == len(rows) - 1)
                logits = self._engine(
                    input_ids=token_ids[None],
                    position_ids=torch.tensor(row.position_ids, device=self._device)[None],
                    use_cache=False,
                ).logits[0]
                losses = cross_entropy(logits[:-1].float(), labels[1:], reduction="none") * advantages[1:]
                self._engine.backward(losses.sum() * (self._world_size / num_loss_tokens))
            self._engine.step()
            return float(sum(row.token_ids.size for row in rows))

        return timed(step)


def run(sizes: Sizes) -> list[Comparison]:
    config = sizes.config
    num_ranks = config.learner.num_ranks
    batch = Prompts(sizes).batch()
    threads = max(1, sizes.threads // num_ranks)
    with (
        reserved(config, ("learner",) * (2 * num_ranks), threads=threads) as bundles,
        asyncio.Runner() as runner,
    ):
        places = bundles.layout.placements
        learner, our_processes = runner.run(
            start_learner(config, bundles, places=places[:num_ranks], policy_workers=())
        )
        bare, bare_processes = _start_bare(config, bundles, places[num_ranks:])
        reports: list[StepReport] = []

        def ours(number: int) -> Round:
            return timed(lambda: runner.run(_step(learner, batch, reports)))

        def alone(number: int) -> Round:
            return _bare_step(bare, batch)

        our_rounds, bare_rounds = interleaved(
            Side(turn=ours, processes=(os.getpid(), *our_processes)),
            Side(turn=alone, processes=bare_processes),
            rounds=sizes.rounds,
        )
    return [
        Comparison(
            name="learning",
            unit="tokens",
            ours="learner: packed attention, chunked head, policy loss with its metrics, Ray",
            bare="DeepSpeed loop: transformers' model, all logits, weighted cross-entropy",
            aim=0.9,
            our_rounds=our_rounds,
            bare_rounds=bare_rounds,
            work=f"{batch.num_sequences} sequences, {our_rounds[0].work:,.0f} tokens, of which "
            f"{batch.num_loss_tokens:,} carry loss, {len(batch.rows[0])} rows of at most {config.row_tokens} "
            f"on each of {num_ranks} ranks; {config.learner.dtype}, {threads} threads a rank",
            notes={
                f"{part} s": reports[-1].metrics[f"learner/{part}_s"] for part in ("forward", "backward", "optimizer")
            },
        )
    ]


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


async def _step(learner: LearnerGroup, batch: TrainBatch, reports: list[StepReport]) -> float:
    reports.append(await learner.step(batch))
    return float(reports[-1].num_tokens)


def _bare_step(ranks: Sequence[RemoteActor], batch: TrainBatch) -> Round:
    rounds = ray.get(
        [rank.step.remote(rows, batch.num_loss_tokens) for rank, rows in zip(ranks, batch.rows, strict=True)]
    )
    slowest = max(rounds, key=lambda one: one.seconds)
    return replace(slowest, work=sum(one.work for one in rounds))
