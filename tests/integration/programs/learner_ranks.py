"""Real learner ranks in processes of their own, for tests that look at what they compute.

A test hands over a function of a rank, which all ranks run at the same time; what it returns comes back from each. The
processes are forked from one that has the heavy imports behind it, so that starting ranks costs two seconds.
"""

import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
import torch

from actors.learning.rank_setup import PolicySource, RankPlace, RankSetup
from contracts.batches import TokenMeasures, TrainBatch, TrainSample
from contracts.config.device_defaults import Device
from contracts.config.learning import CriticConfig, LearnerConfig
from driver.learning.batching import LossWeighting, pack
from tests.builders import an_algorithm

Result = TypeVar("Result")

TEMPERATURE = 0.8
PRELOADED = [
    "actors.learning.rank",
    "actors.learning.rank_models",
    "actors.learning.shards",
    "actors.learning.weight_source",
    "deepspeed.runtime.zero.muon.muon_optimizer",  # which DeepSpeed imports when the first engine starts
    "transformers.models.llama.modeling_llama",
]
LENGTHS = ((5, 30), (9, 25), (4, 21), (12, 20), (3, 22), (6, 2), (7, 1))
"""(prompt, response) tokens of seven sequences: the shares of two ranks are ragged."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Describe the ranks to start: sections of a config, where they differ from what these tests want."""

    model: Path
    num_ranks: int = 2
    learner: tuple[tuple[str, object], ...] = ()
    algorithm: tuple[tuple[str, object], ...] = ()
    critic: tuple[tuple[str, object], ...] = ()
    total_optimizer_steps: int = 10
    device: Device = "cpu"
    reduces_as_on_gpus: bool = False

    def setup(self) -> RankSetup:
        learner = {
            "num_ranks": self.num_ranks,
            "learning_rate": 1e-3,
            "max_grad_norm": 0.5,
            "dtype": "float32",
            "logprob_chunk_tokens": 16,
            "timeout_s": 120,
        }
        return RankSetup(
            learner=LearnerConfig.model_validate(learner | dict(self.learner)),
            algorithm=an_algorithm(**{"steps": 10} | dict(self.algorithm)),
            critic=CriticConfig.model_validate(dict(self.critic)),
            policy=PolicySource(model=str(self.model), temperature=TEMPERATURE),
            total_optimizer_steps=self.total_optimizer_steps,
            bucket_bytes=50_000,
            seed=1,
        )


class PlaceAsOnGpu(RankPlace):
    """Be a rank on a CPU that reduces gradients in DeepSpeed by the code that a GPU uses."""

    @property
    def reduces_in_background(self) -> bool:
        return True


def on_ranks(job: Job, work: Callable[..., Result], *arguments: object) -> list[Result]:
    """Return what `work(setup, place, *arguments)` returns on each rank. It and all arguments are pickled."""
    with TemporaryDirectory() as folder:
        ranks = [_start(job.setup(), place, work, arguments) for place in _places(job, Path(folder))]
        answers = [_answer(receiver) for _, receiver in ranks]
        for process, _ in ranks:
            process.join()
    if failures := [failure for _, failure in answers if failure]:
        raise AssertionError("a rank failed:\n" + "\n".join(failures))
    return [pickle.loads(result) for result, _ in answers]


def _places(job: Job, folder: Path) -> list[RankPlace]:
    kind = PlaceAsOnGpu if job.reduces_as_on_gpus else RankPlace
    meeting = str(folder / "meeting")
    return [
        kind(rank=rank, world_size=job.num_ranks, meeting=meeting, device=job.device) for rank in range(job.num_ranks)
    ]


def _start(
    setup: RankSetup, place: RankPlace, work: Callable[..., object], arguments: Sequence[object]
) -> tuple[BaseProcess, Connection]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    started = (sender, setup, place, work, arguments)
    if place.device == "cpu":
        process: BaseProcess = _context().Process(target=_run, args=started, daemon=True)
        process.start()
    else:
        process = _on_gpu(place.rank, started)
    sender.close()
    return process, receiver


def _on_gpu(rank: int, arguments: tuple[object, ...]) -> BaseProcess:
    """Start a process that sees one GPU. CUDA does not survive a fork."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", str(rank))
        patch.setenv("DS_ACCELERATOR", "cuda")
        process = multiprocessing.get_context("spawn").Process(target=_run, args=arguments, daemon=True)
        process.start()
    return process


def _context() -> ForkServerContext:
    os.environ["DS_ACCELERATOR"] = "cpu"  # DeepSpeed looks for it when it is imported, in the process that is forked
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _run(
    sender: Connection, setup: RankSetup, place: RankPlace, work: Callable[..., object], arguments: Sequence[object]
) -> None:
    torch.set_num_threads(1)
    try:
        result, failure = work(setup, place, *arguments), ""
    except BaseException:  # noqa: BLE001 - whatever a rank fails of is the test's to tell
        result, failure = None, f"rank {place.rank}: {traceback.format_exc()}"
    # Pickled here: torch would send tensors through shared memory, which goes with this process.
    sender.send((pickle.dumps(result), failure))


def _answer(receiver: Connection) -> tuple[bytes, str]:
    try:
        return receiver.recv()
    except EOFError:
        return b"", "its process ended without an answer"


def make_samples(*, num_samples: int = len(LENGTHS), seed: int = 11) -> list[TrainSample]:
    """Return responses of different lengths, with both signs of advantage, and importance weights, cut and uncut."""
    random = torch.Generator().manual_seed(seed)
    samples = []
    for index, (num_prompt, num_response) in enumerate(LENGTHS[:num_samples]):
        tokens = torch.randint(0, 300, (num_prompt + num_response,), generator=random).tolist()
        # The engine's own log-probabilities of such tokens are near -log 512 = -6.2.
        sampling = (-6.2 + torch.randn(num_response, generator=random)).tolist()
        advantages = (-1.0) ** index * (1 + 0.3 * index) + 0.1 * torch.randn(num_response, generator=random)
        samples.append(
            TrainSample(
                group_id=f"1/{index}/de",
                prompt_token_ids=tuple(tokens[:num_prompt]),
                response_token_ids=tuple(tokens[num_prompt:]),
                sampling_logprobs=tuple(sampling),
                advantages=tuple(advantages.tolist()),
                policy_version=0,
            )
        )
    return samples


def packed(
    samples: Sequence[TrainSample],
    *,
    num_ranks: int,
    row_tokens: int = 40,
    share_prompts: bool = False,
    is_padded: bool = False,
) -> TrainBatch:
    return pack(
        samples,
        num_ranks=num_ranks,
        row_tokens=row_tokens,
        pad_token_id=0,
        policy_version=0,
        weighting=LossWeighting(aggregation="token", max_response_tokens=32, mask_truncated=True),
        share_prompts=share_prompts,
        is_padded=is_padded,
    )


def spoilt(sample: TrainSample, *, advantage: float) -> TrainSample:
    """Return the sample with one advantage at all its tokens."""
    return replace(sample, advantages=(advantage,) * len(sample.response_token_ids))


def with_measures(samples: Sequence[TrainSample], measures: Mapping[int, TokenMeasures]) -> list[TrainSample]:
    """Return the samples with what a learner measured of them, by index."""
    return [
        replace(
            sample,
            old_logprobs=tuple(measures[index].logprobs.tolist()),
            reference_logprobs=tuple(measures[index].reference_logprobs.tolist()),
            old_values=tuple(measures[index].values.tolist()),
            returns=sample.returns if measures[index].values.size else (),
        )
        for index, sample in enumerate(samples)
    ]
