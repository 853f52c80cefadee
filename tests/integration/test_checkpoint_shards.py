"""Real ZeRO-3 ranks that save, go on, and are compared with ranks that load: as many as before, or another number."""

import hashlib
import os
import random
import resource
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from actors.learning.process_group import join
from actors.learning.rank_setup import RankPlace, RankSetup
from contracts.errors import CheckpointFailed, RunFailed
from quickstart.tiny import build_tiny_model
from tests.integration.programs.learner_ranks import Job, on_ranks

if TYPE_CHECKING:
    from deepspeed.runtime.engine import DeepSpeedEngine

    Engines = dict[str, DeepSpeedEngine]

BATCH = 6  # sequences of a step, over all ranks: 1, 2 and 3 of them have equal shares
STEPS = 3  # before the checkpoint, and again after it
LEARNING_RATES = {"policy": 1e-2, "critic": 3e-3}
TOO_SMALL = 300_000  # bytes: less than a rank's optimizer shard


@dataclass(frozen=True, kw_only=True)
class Case:
    """Describe one learner and what is special about it."""

    dtype: str = "float32"
    keeps_whole: bool = True
    dropout: float = 0.0  # random numbers decide the loss: only equal random states give an equal one
    freezes: bool = False  # all but attention, as adapters do
    weight_decay: float = 0.0  # above 0, norms are a parameter group of their own
    engines: tuple[str, ...] = ("policy",)


CASES = {
    "whole": Case(dropout=0.1, engines=("policy", "critic")),
    "sharded": Case(keeps_whole=False, weight_decay=2.0),
    "half precision": Case(dtype="bfloat16", dropout=0.1),
    "half precision, sharded": Case(dtype="bfloat16", keeps_whole=False),
    "frozen": Case(freezes=True, keeps_whole=False),
}
SAVED_BY_ONE = "sharded by one"


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Hold the losses of one case: the mean over all sequences for each engine and step."""

    before: list[float]
    after: list[float]  # of the ranks that never stopped
    loaded: list[float]  # of new ones that loaded, as many as before


# --- one rank ---------------------------------------------------------------------------------------------------


class NextToken(torch.nn.Module):
    """Compute the mean loss of the next token, from hidden states with some dropout."""

    def __init__(self, causal: PreTrainedModel, dropout: float) -> None:
        super().__init__()
        self.causal = causal
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(self.causal.base_model(tokens).last_hidden_state)
        head = self.causal.get_output_embeddings()
        assert head is not None
        logits = head(hidden)[:, :-1].float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def settings(case: Case, name: str) -> dict[str, object]:
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_clipping": 1.0,
        "bf16": {"enabled": case.dtype == "bfloat16"},
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": {
            "stage": 3,
            "stage3_param_persistence_threshold": 10**9 if case.keeps_whole else 0,
            "sub_group_size": 100_000,  # several groups of parameters, as a model of a billion has
        },
        "optimizer": {
            "type": "AdamW",
            "params": {"torch_adam": True, "fused": True, "lr": LEARNING_RATES[name]},
        },
        "steps_per_print": 10**9,
    }


def build(case: Case, model: Path) -> "Engines":
    """Build new engines of a case, by name, on every rank at the same time."""
    import deepspeed
    from transformers import AutoModelForCausalLM
    from transformers.integrations.deepspeed import HfDeepSpeedConfig

    from actors.learning.weight_decay import parameter_groups

    engines = {}
    for name in case.engines:
        config = settings(case, name)
        sharded_loading = HfDeepSpeedConfig(config)
        causal = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, case.dtype))
        for parameter_name, parameter in causal.named_parameters():
            parameter.requires_grad_(not case.freezes or "self_attn" in parameter_name)
        learns = NextToken(causal, case.dropout)
        engines[name], *_ = deepspeed.initialize(
            model=learns,
            model_parameters=parameter_groups(learns, weight_decay=case.weight_decay),  # pyright: ignore[reportArgumentType]
            config=config,
            # Annotated for schedulers of an older torch.
            lr_scheduler=lambda optimizer: LambdaLR(optimizer, lambda step: 0.9**step),  # pyright: ignore[reportArgumentType]
        )
        del sharded_loading
    return engines


def train(engines: "Engines", *, rank: int, world_size: int) -> list[float]:
    """Take STEPS optimizer steps of every engine on the same tokens; the losses are means over all ranks."""
    losses = []
    tokens = torch.randint(0, 512, (BATCH, 16), generator=torch.Generator().manual_seed(1))
    for _ in range(STEPS):
        for engine in engines.values():
            loss = engine(tokens[rank::world_size])
            engine.backward(loss)
            engine.step()
            mean = loss.detach().float().clone()
            torch.distributed.all_reduce(mean)
            losses.append(mean.item() / world_size)
    return losses


def seed(rank: int) -> None:
    random.seed(rank)
    np.random.seed(rank)
    torch.manual_seed(rank)


def save(engines: "Engines", folder: Path, *, rank: int, world_size: int) -> None:
    """Write the state of all ranks."""
    from actors.learning.shards import shard_files, write_files

    files = shard_files(engines, folder, rank=rank, world_size=world_size)
    sums = write_files(files)
    assert sums.keys() == {str(path) for path in files}
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == sums[str(path)].sha256 for path in files)
    torch.distributed.barrier()


def save_and_go_on(_: RankSetup, place: RankPlace, model: Path, folder: Path) -> None:
    """Take three steps in every case, save, and take three more; then load into new engines and repeat these."""
    from actors.learning.shards import load_shards

    join(place, timeout_s=120)
    rank, world_size = place.rank, place.world_size
    for name, case in CASES.items():
        seed(rank)
        engines = build(case, model)
        before = train(engines, rank=rank, world_size=world_size)
        save(engines, folder / name, rank=rank, world_size=world_size)
        drawn = (random.random(), np.random.random())
        after = train(engines, rank=rank, world_size=world_size)
        seed(100 + rank)
        engines = build(case, model)
        load_shards(engines, folder / name, rank=rank, world_size=world_size)
        assert (random.random(), np.random.random()) == drawn
        assert all(engine.global_steps == STEPS for engine in engines.values())
        loaded = train(engines, rank=rank, world_size=world_size)
        if rank == 0:
            torch.save(Losses(before=before, after=after, loaded=loaded), folder / f"{name}.losses")
    fail_together(rank, world_size, model, folder)
    torch.distributed.destroy_process_group()


def fail_together(rank: int, world_size: int, model: Path, folder: Path) -> None:
    """Fill the disk: a rank gets the error and goes on as if nothing had been saved. Then damage what is saved."""
    from actors.learning.shards import load_shards, shard_files, write_files

    seed(rank)
    engines = build(CASES["whole"], model)
    losses = train(engines, rank=rank, world_size=world_size)
    files = shard_files(engines, folder / "full", rank=rank, world_size=world_size)
    resource.setrlimit(resource.RLIMIT_FSIZE, (TOO_SMALL, resource.RLIM_INFINITY))
    with pytest.raises(CheckpointFailed) as failure:
        write_files(files)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    losses += train(engines, rank=rank, world_size=world_size)

    damaged = folder / "sharded" / "policy" / "rank-0001.pt"
    engines = build(CASES["sharded"], model)
    whole = damaged.read_bytes()
    torch.distributed.barrier()
    if rank == 0:
        damaged.write_bytes(whole[: len(whole) // 2])
    torch.distributed.barrier()
    with pytest.raises(RunFailed) as unreadable:
        load_shards(engines, folder / "sharded", rank=rank, world_size=world_size)
    torch.distributed.barrier()
    if rank == 0:
        damaged.write_bytes(whole)
    with pytest.raises(RunFailed) as others:
        load_shards(engines, folder / "whole", rank=rank, world_size=world_size)
    engines = build(CASES["whole"], model)
    refused = {
        name: refusal_of_code(engines, folder / "whole", name, rank=rank, world_size=world_size)
        for name in files_of_a_rank(1)
    }
    torch.save(refused, folder / f"code-{rank}")
    engines = build(CASES["frozen"], model)
    with pytest.raises(RunFailed) as other_model:
        load_shards(engines, folder / "sharded", rank=rank, world_size=world_size)
    messages = [str(failure.value), str(unreadable.value), str(other_model.value)]
    without_decay = build(replace(CASES["sharded"], weight_decay=0.0), model)
    load_shards(without_decay, folder / "sharded", rank=rank, world_size=world_size)
    assert_same_state(without_decay["policy"], folder / "sharded" / "policy" / f"rank-{rank:04d}.pt")
    torch.save((losses, messages, others.value.key), folder / f"failures-{rank}")


def assert_same_state(engine: "DeepSpeedEngine", file: Path) -> None:
    """Compare weights and moments, parameter by parameter, whatever flat tensor each lies in."""
    from actors.learning.partitions import part_to_save, parts_of

    ours, theirs = part_to_save(engine), torch.load(file)
    assert ours["parameters"] != theirs["parameters"]  # they lie elsewhere
    for part in parts_of(engine):
        index, start, *_ = theirs["parameters"][part.name]
        for name, flat in ours["flat"].items():
            found = flat[part.flat].narrow(0, part.start, part.length)
            assert torch.equal(found, theirs["flat"][name][index].narrow(0, start, part.length)), (part.name, name)


class Code:
    """Create a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.trace),)


def files_of_a_rank(rank: int) -> list[str]:
    return [f"policy/rank-{rank:04d}.pt", f"critic/rank-{rank:04d}.pt", f"rng-{rank:04d}.pt"]


def refusal_of_code(engines: "Engines", saved: Path, name: str, *, rank: int, world_size: int) -> str:
    """Return what a rank says of a saved folder in which one file would run code; afterwards the file is as before."""
    from actors.learning.shards import load_shards

    whole = (saved / name).read_bytes()
    torch.distributed.barrier()
    if rank == 0:
        torch.save({"module": Code(saved / "ran")}, saved / name)
    torch.distributed.barrier()
    with pytest.raises(RunFailed) as refusal:
        load_shards(engines, saved, rank=rank, world_size=world_size)
    torch.distributed.barrier()
    if rank == 0:
        (saved / name).write_bytes(whole)
    return str(refusal.value)


def go_on_elsewhere(_: RankSetup, place: RankPlace, model: Path, folder: Path) -> None:
    """Continue here what two ranks saved, and at two ranks what one rank saves."""
    from actors.learning.shards import load_shards

    join(place, timeout_s=120)
    rank, world_size = place.rank, place.world_size
    losses = {}
    for name in ("sharded", "frozen", "half precision, sharded"):
        seed(rank)
        engines = build(CASES[name], model)
        load_shards(engines, folder / name, rank=rank, world_size=world_size)
        losses[name] = train(engines, rank=rank, world_size=world_size)
    if world_size == 1:
        name = "policy/rank-0001.pt"
        engines = build(CASES["sharded"], model)
        losses["code"] = refusal_of_code(engines, folder / "sharded", name, rank=rank, world_size=world_size)
        seed(rank)
        engines = build(CASES["sharded"], model)
        losses["before"] = train(engines, rank=rank, world_size=world_size)
        save(engines, folder / SAVED_BY_ONE, rank=rank, world_size=world_size)
        losses["after"] = train(engines, rank=rank, world_size=world_size)
    if (folder / SAVED_BY_ONE).exists() and world_size == 3:
        engines = build(CASES["sharded"], model)
        load_shards(engines, folder / SAVED_BY_ONE, rank=rank, world_size=world_size)
        losses[SAVED_BY_ONE] = train(engines, rank=rank, world_size=world_size)
    if rank == 0:
        torch.save(losses, folder / f"elsewhere-{world_size}")
    torch.distributed.destroy_process_group()


# --- all ranks ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return all that ranks have saved and learned: first two of them, then one, then three."""
    folder = tmp_path_factory.mktemp("shards")
    model = build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    on_ranks(Job(model=model, num_ranks=2), save_and_go_on, model, folder)
    for world_size in (1, 3):
        on_ranks(Job(model=model, num_ranks=world_size), go_on_elsewhere, model, folder)
    return folder


def losses_of(folder: Path, name: str) -> Losses:
    return torch.load(folder / f"{name}.losses", weights_only=False)


@pytest.mark.parametrize("name", CASES)
def test_loading_is_as_if_the_run_had_never_stopped(folder: Path, name: str) -> None:
    losses = losses_of(folder, name)
    assert losses.loaded == losses.after
    assert len(set(losses.before + losses.after)) == 2 * STEPS * len(CASES[name].engines)  # something was learned


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize(("name", "rounding"), [("sharded", 1e-5), ("frozen", 1e-5), ("half precision, sharded", 1e-3)])
def test_another_number_of_ranks_goes_on_the_same_way(
    folder: Path, name: str, rounding: float, world_size: int
) -> None:
    elsewhere = torch.load(folder / f"elsewhere-{world_size}")
    assert elsewhere[name] == pytest.approx(losses_of(folder, name).after, rel=rounding)


def test_one_rank_goes_on_as_three(folder: Path) -> None:
    alone = torch.load(folder / "elsewhere-1")
    assert torch.load(folder / "elsewhere-3")[SAVED_BY_ONE] == pytest.approx(alone["after"], rel=1e-5)
    assert alone["before"] + alone["after"] == pytest.approx(
        losses_of(folder, "sharded").before + losses_of(folder, "sharded").after, rel=1e-4
    )


@pytest.mark.parametrize("rank", [0, 1])
def test_a_disk_that_fills_up_is_told_and_the_run_goes_on(folder: Path, rank: int) -> None:
    losses, (full, cut_off, _), _ = torch.load(folder / f"failures-{rank}")
    assert full == f"{folder / 'full' / 'policy' / f'rank-{rank:04d}.pt'}: File too large"
    damaged = folder / "sharded" / "policy" / "rank-0001.pt"
    assert cut_off.startswith(f"the learner's checkpoint can't be read: {damaged}: ")
    expected = losses_of(folder, "whole")
    assert losses == expected.before + expected.after


@pytest.mark.parametrize("rank", [0, 1])
def test_engines_by_other_names_are_refused_on_all_ranks(folder: Path, rank: int) -> None:
    _, _, key = torch.load(folder / f"failures-{rank}")
    assert key == "algorithm.name"


@pytest.mark.parametrize("rank", [0, 1])
def test_another_model_is_refused_on_all_ranks(folder: Path, rank: int) -> None:
    _, (_, _, other_model), _ = torch.load(folder / f"failures-{rank}")
    assert str(folder / "sharded" / "policy" / f"rank-{rank:04d}.pt") in other_model


def test_frozen_parameters_are_not_saved(folder: Path) -> None:
    sizes = {name: sum(file.stat().st_size for file in (folder / name).rglob("*.pt")) for name in CASES}
    assert sizes["frozen"] < 0.4 * sizes["sharded"]


@pytest.mark.parametrize("name", files_of_a_rank(1))
def test_a_file_that_would_run_code_is_refused_by_name_on_all_ranks_and_does_not_run(folder: Path, name: str) -> None:
    for rank in (0, 1):
        refusal = torch.load(folder / f"code-{rank}")[name]
        assert str(folder / "whole" / name) in refusal
        assert "posix.mkdir" in refusal
    assert not (folder / "whole" / "ran").exists()


def test_a_file_that_would_run_code_is_refused_by_another_number_of_ranks_too(folder: Path) -> None:
    refusal = torch.load(folder / "elsewhere-1")["code"]
    assert str(folder / "sharded" / "policy" / "rank-0001.pt") in refusal
    assert not (folder / "sharded" / "ran").exists()
