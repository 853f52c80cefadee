"""Test where actors are placed and what they need: bundles, the refusal of a cluster too small, memory, plan."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.estimate import GIB, PROCESS_OVERHEAD_GIB, estimate, num_parameters
from cluster.layout import (
    Device,
    Resources,
    Role,
    check_device,
    check_fits,
    choose_device,
    layout,
    training_roles,
)
from contracts.config.run import Config
from contracts.errors import BadInput
from driver.commands.plan import batch_arithmetic
from tests.builders import a_config
from tests.refusals import refused


def config(**sections: Mapping[str, object]) -> Config:
    base: dict[str, Mapping[str, object]] = {
        "policy": {"model": "policy-model", "num_workers": 2, "num_cpus": 0.5},
        "pivot": {"model": "pivot-model", "num_cpus": 1},
        "scorer": {"model": "scorer-model", "num_cpus": 2.5},
        "learner": {"num_ranks": 4, "num_cpus": 3},
        "algorithm": {"steps": 5, "groups_per_step": 6, "group_size": 4},
    }
    if sections.get("algorithm", {}).get("name") == "sft":
        del base["algorithm"]
    return a_config(base, sections)


@pytest.mark.parametrize(
    ("device", "role", "count", "cpus", "gpus", "threads"),
    [
        ("cpu", "policy", 2, 0.5, 0, 1),
        ("cpu", "pivot", 1, 1, 0, 1),
        ("cpu", "scorer", 1, 2.5, 0, 2),
        ("cpu", "learner", 4, 3, 0, 3),
        ("cuda", "policy", 2, 0.5, 1, 1),
        ("cuda", "pivot", 1, 1, 1, 1),
        ("cuda", "scorer", 1, 2.5, 0, 2),
        ("cuda", "learner", 4, 3, 1, 3),
    ],
)
def test_every_role_gets_its_bundles(
    device: Device, role: Role, count: int, cpus: float, gpus: float, threads: int
) -> None:
    placements = layout(config(), device).of(role)
    assert [placement.name for placement in placements] == [f"{role}-{index}" for index in range(count)]
    assert {(p.bundle.cpus, p.bundle.gpus, p.num_threads) for p in placements} == {(cpus, gpus, threads)}


def test_tensor_parallel_workers_have_their_gpus_in_one_bundle_and_scorers_may_share_one() -> None:
    wanted = layout(config(policy={"tensor_parallel_size": 4}, scorer={"num_gpus": 0.25}), "cuda")
    assert [placement.bundle.gpus for placement in wanted.of("policy")] == [4, 4]
    assert [placement.bundle.gpus for placement in wanted.of("scorer")] == [0.25]
    assert wanted.total.gpus == 2 * 4 + 1 + 0.25 + 4


def test_the_total_is_the_sum_of_the_bundles() -> None:
    """2 policy x 0.5 + 1 pivot + 2.5 scorer + 4 ranks x 3 = 16.5 CPUs."""
    assert str(layout(config(), "cpu").total) == "16.5 CPUs and 0 GPUs"


def test_an_evaluation_places_the_policy_alone() -> None:
    wanted = layout(config(), "cpu", roles=("policy",))
    assert [placement.name for placement in wanted.placements] == ["policy-0", "policy-1"]


@pytest.mark.parametrize(
    ("asked", "gpus", "chosen"),
    [("auto", 0, "cpu"), ("auto", 8, "cuda"), ("cpu", 8, "cpu"), ("cuda", 0, "cuda")],
)
def test_auto_takes_gpus_where_there_are_any(asked: str, gpus: float, chosen: Device) -> None:
    assert choose_device(config(cluster={"device": asked}), Resources(cpus=8, gpus=gpus)) == chosen


def test_a_cluster_too_small_is_refused_with_both_sides_of_the_sum() -> None:
    sizes = ("16.5 CPUs and 7 GPUs", "2 policy x (0.5 CPUs and 1 GPUs)", "4 learner x (3 CPUs and 1 GPUs)")
    with refused("cluster", *sizes, "32 CPUs and 2 GPUs"):
        check_fits(layout(config(), "cuda"), Resources(cpus=32, gpus=2))


def test_a_cluster_that_is_just_large_enough_is_taken() -> None:
    check_fits(layout(config(), "cuda"), Resources(cpus=16.5, gpus=7))
    with pytest.raises(BadInput) as caught:
        check_fits(layout(config(), "cuda"), Resources(cpus=16.4, gpus=7))
    assert caught.value.key == "cluster"


# --- memory -----------------------------------------------------------------------------------------------------------


def a_model(folder: Path, *, parameters: int) -> str:
    """Write a model folder in two shards, with the headers of real weights and without the weights."""
    folder.mkdir()
    shape = {"num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 100}
    (folder / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    for shard, size in enumerate((parameters // 2, parameters - parameters // 2)):
        entry = {"dtype": "BF16", "shape": [size], "data_offsets": [0, 2 * size]}
        header = json.dumps({"__metadata__": {"format": "pt"}, f"weight-{shard}": entry}).encode()
        (folder / f"model-{shard}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return str(folder)


def test_parameters_are_counted_from_the_headers_of_all_shards(tmp_path: Path) -> None:
    assert num_parameters(a_model(tmp_path / "model", parameters=1001)) == 1001
    assert num_parameters("some/hub-name") is None


def test_the_estimate_follows_parameters_cache_and_ranks(tmp_path: Path) -> None:
    """2^30 parameters: 2 GiB in bf16; ZeRO-3 over 4 ranks keeps 16 bytes of each, 4 GiB a rank.

    More than learner.keep_whole_mib: a rank has a quarter of the weights, and 50 million gathered ahead (0.09 GiB).
    """
    model = a_model(tmp_path / "model", parameters=1 << 30)
    memory = estimate(config(policy={"model": model, "kv_cache_gib": 3}), "cpu")
    policy, learner = memory["policy"], memory["learner"]
    assert "weights 2.00 + kv cache 3.00 + process" in policy.formula
    assert policy.total_gib == pytest.approx(2 + 3 + 1.4, abs=0.6)
    assert "gathered weights 0.59 + optimizer shard 4.00" in learner.formula
    # 1024 tokens x 2 layers x 8 wide x 16 kept x 2 bytes, and a chunk of 256 x 100 words x 4 bytes: next to none.
    rest = (1024 * 2 * 8 * 16 * 2 + 256 * 100 * 4) / GIB
    assert learner.total_gib == pytest.approx(0.5 + 50e6 * 2 / GIB + 4 + rest + PROCESS_OVERHEAD_GIB, abs=0.01)


def test_a_model_that_is_not_here_has_no_estimate() -> None:
    assert estimate(config(), "cpu")["policy"].total_gib is None


def test_the_plan_does_the_arithmetic_of_a_batch() -> None:
    """6 problems x 4 responses = 24 a step; 24 x 128 new tokens; 24 / 4 ranks; 5 steps."""
    text = "\n".join(batch_arithmetic(config()))
    assert "6 problems x 4 responses = 24 responses, at most 3,072 response tokens" in text
    assert "6 responses per step on each of 4" in text
    assert "120 responses to 30 problems" in text


def test_the_plan_tells_shares_replacements_and_workers_that_may_come() -> None:
    """10 % and 30 % of 0.4; 2 workers of whom 5 may come; 3 replacements."""
    text = "\n".join(
        batch_arithmetic(
            config(
                data={"languages": ["de", "sw"], "shares": [0.1, 0.3]},
                policy={"max_workers": 5},
                algorithm={"max_replacements": 3},
            )
        )
    )
    assert "30 problems in de 25%, sw 75%" in text
    assert "over 2 to 5 policy worker(s); on-policy" in text
    assert text.count("at most 3 more") == 1


def learner_formula(model: str, **sections: Mapping[str, object]) -> str:
    return estimate(config(policy={"model": model}, **sections), "cpu")["learner"].formula


def test_a_small_model_stays_whole_and_its_reference_and_critic_are_counted(tmp_path: Path) -> None:
    """2^28 parameters: 0.5 GiB in bf16, whole on every rank; 16 bytes each over 4 ranks are 1 GiB."""
    model = a_model(tmp_path / "model", parameters=1 << 28)
    algorithm = {"steps": 1, "groups_per_step": 8, "group_size": 4}
    assert "gathered weights 0.50 + optimizer shard 1.00" in learner_formula(model)
    with_reference = learner_formula(model, algorithm=algorithm | {"kl": "loss"})
    assert "gathered weights 1.00 + optimizer shard 1.00" in with_reference
    ppo = learner_formula(model, algorithm=algorithm | {"name": "ppo"})
    assert "gathered weights 1.00 + optimizer shard 2.00" in ppo


def test_adapters_need_no_second_model_and_few_optimizer_states(tmp_path: Path) -> None:
    model = a_model(tmp_path / "model", parameters=1 << 28)
    algorithm = {"steps": 1, "groups_per_step": 8, "group_size": 4, "kl": "loss"}
    formula = learner_formula(model, algorithm=algorithm, learner={"num_ranks": 4, "lora": {"rank": 8}})
    assert "gathered weights 0.50 + optimizer shard 0.00" in formula


def test_imitating_references_starts_only_who_is_needed() -> None:
    sft = {"name": "sft", "steps": 1, "groups_per_step": 8}
    none = {"before": False, "after": False}
    assert training_roles(config(algorithm=sft)) == ("policy", "pivot", "learner")
    assert training_roles(config(algorithm=sft, evaluation=none)) == ("pivot", "learner")
    translated = config(algorithm=sft | {"sft_target": "translation"}, evaluation=none)
    assert training_roles(translated) == ("learner",)
    assert training_roles(config()) == ("policy", "pivot", "scorer", "learner")


@pytest.mark.parametrize(("key", "value"), [("learner.attention", "flash_attention_2"), ("weights.backend", "nccl")])
def test_a_setting_that_needs_a_gpu_is_refused_without_one(key: str, value: str) -> None:
    section, name = key.split(".")
    asked = config(**{section: {name: value}})
    check_device(asked, "cuda")
    with pytest.raises(BadInput) as caught:
        check_device(asked, "cpu")
    assert caught.value.key == key
