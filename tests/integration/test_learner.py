"""Real ZeRO-3 ranks in processes of their own, against plain torch on the unpacked sequences."""

import multiprocessing
import socket
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from driver.batching import pack
from driver.config import AlgorithmConfig, LearnerConfig
from driver.errors import RunFailed
from driver.schema import StepReport, TrainSample

TEMPERATURE = 0.8
NUM_STEPS = 2
LEARNING_RATE = 1e-3
IMPORTANCE_CAP = 2.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One learner: what its ranks are told."""

    model: Path
    num_ranks: int
    row_tokens: int = 40
    bucket_bytes: int = 50_000
    keep_bytes: int = 2**30
    dtype: str = "float32"
    gradient_checkpointing: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What rank 0 saw."""

    weights_before: dict[str, torch.Tensor]
    weights_after: dict[str, torch.Tensor]
    metadata: list[tuple[str, torch.dtype, tuple[int, ...]]]
    bucket_names: list[list[str]]
    reports: list[StepReport]
    exported: Path
    refusal: str  # of a batch whose loss is not finite
    weights_refused: dict[str, torch.Tensor]  # after it


def make_samples() -> list[TrainSample]:
    """Seven responses of unlike lengths: the shares of two ranks are ragged."""
    random = torch.Generator().manual_seed(11)
    samples = []
    for index, (num_prompt, num_response) in enumerate([(5, 30), (9, 25), (4, 21), (12, 20), (3, 22), (6, 2), (7, 1)]):
        tokens = torch.randint(0, 300, (num_prompt + num_response,), generator=random).tolist()
        # The engine's own log-probabilities of such tokens are near -log 512 = -6.2: some weights are cut, some aren't.
        sampling = (-6.2 + torch.randn(num_response, generator=random)).tolist()
        samples.append(
            TrainSample(
                group_id=f"1/{index}/de",
                prompt_token_ids=tuple(tokens[:num_prompt]),
                response_token_ids=tuple(tokens[num_prompt:]),
                sampling_logprobs=tuple(sampling),
                advantage=(-1.0) ** index * (1 + 0.3 * index),
                policy_version=0,
            )
        )
    return samples


def start(job: Job, folder: Path) -> list[multiprocessing.Process]:
    processes = multiprocessing.get_context("spawn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir()
    ranks = [processes.Process(target=run_rank, args=(job, rank, port, folder)) for rank in range(job.num_ranks)]
    for process in ranks:
        process.start()
    return ranks


def run_rank(job: Job, rank: int, port: int, folder: Path) -> None:
    """The life of one rank; rank 0 leaves its outcome in `folder`."""
    from actors.learning.rank import LearnerRank, PolicySource, RankPlace
    from actors.learning.zero_config import GatherLimits

    torch.set_num_threads(1)
    learner = LearnerRank(
        LearnerConfig.model_validate(
            {
                "num_ranks": job.num_ranks,
                "learning_rate": LEARNING_RATE,
                "max_grad_norm": 0.5,
                "dtype": job.dtype,
                "logprob_chunk_tokens": 16,
                "row_tokens": job.row_tokens,
                "gradient_checkpointing": job.gradient_checkpointing,
                "timeout_s": 120,
            }
        ),
        policy=PolicySource(model=str(job.model), temperature=TEMPERATURE),
        algorithm=AlgorithmConfig(steps=NUM_STEPS, importance_cap=IMPORTANCE_CAP),
        place=RankPlace(
            rank=rank, world_size=job.num_ranks, master_address="127.0.0.1", master_port=port, device="cpu"
        ),
        limits=GatherLimits(bucket_bytes=job.bucket_bytes, keep_bytes=job.keep_bytes),
        seed=1,
    )
    samples = make_samples()
    batch = pack(samples, num_ranks=job.num_ranks, row_tokens=job.row_tokens, pad_token_id=0, policy_version=0)
    before = dict(pair for bucket in learner.weights.buckets() for pair in bucket)
    reports = [
        learner.step(batch.rows[rank], num_loss_tokens=batch.num_loss_tokens, num_sequences=batch.num_sequences)
        for _ in range(NUM_STEPS)
    ]
    buckets = list(learner.weights.buckets())
    learner.export(folder / "exported")
    broken = pack(
        [replace(samples[0], advantage=float("nan"))],  # one row: the second rank has a dummy only
        num_ranks=job.num_ranks,
        row_tokens=job.row_tokens,
        pad_token_id=0,
        policy_version=0,
    )
    with pytest.raises(RunFailed) as refusal:
        learner.step(broken.rows[rank], num_loss_tokens=broken.num_loss_tokens, num_sequences=1)
    refused = dict(pair for bucket in learner.weights.buckets() for pair in bucket)
    if rank == 0:
        outcome = Outcome(
            weights_before=before,
            weights_after=dict(pair for bucket in buckets for pair in bucket),
            metadata=learner.weights.metadata(),
            bucket_names=[[name for name, _ in bucket] for bucket in buckets],
            reports=reports,
            exported=folder / "exported",
            refusal=str(refusal.value),
            weights_refused=refused,
        )
        torch.save(outcome, folder / "outcome.pt")
    else:
        assert all(bucket == [] for bucket in buckets)
    learner.close()


def finish(ranks: list[multiprocessing.Process], folder: Path) -> Outcome:
    for process in ranks:
        process.join()
    assert [process.exitcode for process in ranks] == [0] * len(ranks)
    return torch.load(folder / "outcome.pt", weights_only=False)


@pytest.fixture(scope="module")
def tied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from quickstart.tiny import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("models") / "tied")


@pytest.fixture(scope="module")
def untied_model(tied_model: Path) -> Path:
    model = AutoModelForCausalLM.from_pretrained(tied_model, tie_word_embeddings=False)
    torch.manual_seed(2)
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.02)
    folder = tied_model.parent / "untied"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tied_model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def outcomes(tied_model: Path, untied_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    jobs = {
        "two ranks": Job(model=tied_model, num_ranks=2),
        "one rank": Job(model=tied_model, num_ranks=1, row_tokens=100),
        "sharded": Job(model=untied_model, num_ranks=2, keep_bytes=0, gradient_checkpointing=True),
        "half precision": Job(model=tied_model, num_ranks=2, dtype="bfloat16"),
    }
    folder = tmp_path_factory.mktemp("outcomes")
    running = {name: start(job, folder / name) for name, job in jobs.items()}
    return {name: finish(ranks, folder / name) for name, ranks in running.items()}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What plain torch makes of the same samples."""

    weights: dict[str, torch.Tensor]
    losses: list[float]
    grad_norms: list[float]
    entropies: list[float]


def plain_torch(model: Path) -> Expected:
    """The same steps on unpacked sequences: Hugging Face logits as they are, one AdamW, no chunks, no ranks."""
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    samples = make_samples()
    num_loss_tokens = sum(len(sample.response_token_ids) for sample in samples)
    losses, grad_norms, entropies = [], [], []
    for _ in range(NUM_STEPS):
        loss, entropy = torch.zeros(()), 0.0
        for sample in samples:
            tokens = torch.tensor([sample.prompt_token_ids + sample.response_token_ids])
            everything = (policy(tokens).logits[0, :-1] / TEMPERATURE).log_softmax(dim=-1)
            logprobs = everything.gather(-1, tokens[0, 1:, None])[len(sample.prompt_token_ids) - 1 :, 0]
            of_response = everything[len(sample.prompt_token_ids) - 1 :].detach()
            entropy -= float((of_response.exp() * of_response).sum())
            weight = (logprobs.detach() - torch.tensor(sample.sampling_logprobs)).exp().clamp(max=IMPORTANCE_CAP)
            ratio = (logprobs - logprobs.detach()).exp()
            loss = loss - (weight * ratio * sample.advantage).sum() / num_loss_tokens
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        entropies.append(entropy / num_loss_tokens)
        grad_norms.append(float(torch.nn.utils.clip_grad_norm_(policy.parameters(), 0.5)))
        optimizer.step()
    weights = {name: parameter.detach() for name, parameter in policy.named_parameters()}
    return Expected(weights=weights, losses=losses, grad_norms=grad_norms, entropies=entropies)


def metric(outcome: Outcome, name: str) -> list[float]:
    return [report.metrics[name] for report in outcome.reports]


def update_error(outcome: Outcome, expected: dict[str, torch.Tensor]) -> float:
    """Length of the difference of the two updates, over the length of the update.

    Not element by element: AdamW divides by the gradient's size, so where a gradient is nearly 0 its rounding decides.
    """
    assert outcome.weights_after.keys() == expected.keys()
    pairs = [(outcome.weights_after[name], expected[name], outcome.weights_before[name]) for name in expected]
    difference = sum(float((ours - theirs).double().square().sum()) for ours, theirs, _ in pairs)
    update = sum(float((theirs - before).double().square().sum()) for _, theirs, before in pairs)
    return (difference / update) ** 0.5


@pytest.mark.parametrize("name", ["two ranks", "one rank", "sharded"])
def test_steps_equal_plain_torch_on_unpacked_sequences(
    outcomes: dict[str, Outcome], tied_model: Path, untied_model: Path, name: str
) -> None:
    outcome = outcomes[name]
    expected = plain_torch(untied_model if name == "sharded" else tied_model)
    assert metric(outcome, "policy/loss") == pytest.approx(expected.losses, rel=1e-4)
    assert metric(outcome, "policy/grad_norm") == pytest.approx(expected.grad_norms, rel=1e-4)
    assert metric(outcome, "policy/entropy") == pytest.approx(expected.entropies, rel=1e-5)
    assert update_error(outcome, expected.weights) < 1e-3


def test_half_precision_goes_the_same_way(outcomes: dict[str, Outcome], tied_model: Path) -> None:
    expected = plain_torch(tied_model)
    outcome = outcomes["half precision"]
    assert metric(outcome, "policy/grad_norm") == pytest.approx(expected.grad_norms, rel=0.05)
    assert metric(outcome, "policy/loss") == pytest.approx(expected.losses, rel=0.05, abs=0.01)
    assert {tensor.dtype for tensor in outcome.weights_after.values()} == {torch.bfloat16}


def test_two_ranks_with_ragged_shares_equal_one(outcomes: dict[str, Outcome]) -> None:
    one, two = outcomes["one rank"], outcomes["two ranks"]
    assert metric(two, "policy/grad_norm") == pytest.approx(metric(one, "policy/grad_norm"), rel=1e-5)
    assert metric(two, "policy/importance_ratio_max") == pytest.approx(
        metric(one, "policy/importance_ratio_max"), rel=1e-4
    )
    assert update_error(two, one.weights_after) < 1e-3
    assert [report.num_tokens for report in two.reports] == [report.num_tokens for report in one.reports] == [167] * 2


def test_the_walk_is_the_checkpoint_each_tensor_once(outcomes: dict[str, Outcome], tied_model: Path) -> None:
    outcome = outcomes["two ranks"]
    loaded = AutoModelForCausalLM.from_pretrained(tied_model, dtype=torch.float32)
    expected = dict(loaded.named_parameters())
    assert list(outcome.weights_before) == list(expected)
    assert "lm_head.weight" not in expected  # tied: it is the input embedding
    for name, tensor in outcome.weights_before.items():
        torch.testing.assert_close(tensor, expected[name].detach(), rtol=0, atol=0)
    assert outcome.metadata == [(name, torch.float32, tuple(tensor.shape)) for name, tensor in expected.items()]


def test_an_untied_head_travels_under_its_own_name(outcomes: dict[str, Outcome]) -> None:
    assert "lm_head.weight" in outcomes["sharded"].weights_after


def test_a_bucket_holds_no_more_than_its_limit_unless_one_tensor_does(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["sharded"]
    assert len(outcome.bucket_names) > 3
    for names in outcome.bucket_names:
        assert sum(outcome.weights_after[name].nbytes for name in names) <= 50_000 or len(names) == 1


@pytest.mark.parametrize("name", ["two ranks", "sharded", "half precision"])
def test_an_export_is_a_folder_that_transformers_loads(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    loaded, problems = AutoModelForCausalLM.from_pretrained(outcome.exported, output_loading_info=True)
    assert not problems["missing_keys"] and not problems["unexpected_keys"]
    for parameter, tensor in loaded.named_parameters():
        torch.testing.assert_close(tensor.detach(), outcome.weights_after[parameter], rtol=0, atol=0)
    assert loaded.generation_config.eos_token_id == AutoTokenizer.from_pretrained(outcome.exported).eos_token_id


@pytest.mark.parametrize("name", ["two ranks", "sharded"])
def test_a_loss_that_is_not_finite_stops_every_rank_and_changes_nothing(
    outcomes: dict[str, Outcome], name: str
) -> None:
    # The refused batch has one row: the second rank walks through a dummy, and comes out with the same refusal.
    outcome = outcomes[name]
    assert "loss is not finite in optimiser step 3" in outcome.refusal
    for parameter, tensor in outcome.weights_refused.items():
        torch.testing.assert_close(tensor, outcome.weights_after[parameter], rtol=0, atol=0)
