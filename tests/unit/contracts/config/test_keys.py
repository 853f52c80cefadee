"""Test what is known of every key: which choice it belongs to, and whether a continued run may change it."""

import pytest

from contracts.config.keys import keys, may_change, sections
from contracts.config.run import Config

_ENGINE = (
    "model",
    "num_workers",
    "tensor_parallel_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "kv_cache_gib",
)
MAY_CHANGE = {
    # how much, how fast, and what is watched
    "algorithm.steps",
    "evaluation.after",
    "evaluation.before",
    "evaluation.every_steps",
    "run.folder",
    "run.name",
    "reward.consistency_floor",
    "reward.consistency_steps",
    # where a model or a set lies: its contents are compared, by the checkpoint and by the problem stream
    "critic.model",
    "data.path",
    "pivot.cache",
    "pivot.num_gpus",
    "scorer.model",
    # sizes that change no result but for rounding
    *(f"{section}.{key}" for section in ("policy", "pivot") for key in (*_ENGINE, "num_cpus", "timeout_s")),
    "policy.min_workers",
    "policy.max_workers",
    *(f"scorer.{key}" for key in ("num_workers", "batch_size", "batch_across_groups", "num_cpus", "num_gpus")),
    *(f"scorer.{key}" for key in ("timeout_s", "attempts", "backoff_s")),
    "comet.batch_size",
    "translator.batch_size",
    *(f"learner.{key}" for key in ("num_ranks", "num_cpus", "timeout_s", "max_skipped_steps", "keep_whole_mib")),
    *(f"learner.{key}" for key in ("offload_optimizer", "offload_parameters", "gradient_checkpointing")),
    *(f"learner.{key}" for key in ("attention", "row_tokens", "logprob_chunk_tokens", "share_prompts")),
    "learner.sequence_parallel_size",
}
WHOLE_SECTIONS = ("audit", "checkpoint", "cluster", "export", "fleet", "sinks", "trace", "translate", "weights")


def test_a_continued_run_may_change_these_keys_and_no_others() -> None:
    whole = {key.name for key in keys() if key.name.split(".")[0] in WHOLE_SECTIONS}
    assert {key.name for key in keys() if key.may_change} == MAY_CHANGE | whole


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("algorithm.steps", True),
        ("checkpoint.every_steps", True),
        ("learner.lora.rank", False),
        ("weights.lora", True),
        ("learner.learning_rate", False),
        ("reward.schedule", False),
        ("data.path", True),
        ("evaluation.path", False),
    ],
)
def test_one_key_is_looked_up_by_its_name(key: str, expected: bool) -> None:
    assert may_change(key) is expected


def test_every_key_has_a_description() -> None:
    assert [key.name for key in keys() if not key.field.description] == []


def test_every_section_is_listed_and_every_choice_has_its_values() -> None:
    assert set(Config.model_fields) <= set(sections())
    choices = {section.chosen_by: sum((values for values, _ in section.members), ()) for section in sections().values()}
    del choices[""]
    files = ("jsonl", "json", "csv", "tsv", "parquet", "huggingface", "mgsm")
    assert choices == {
        "data.source": ("builtin", "logic", *files),
        "evaluation.source": ("builtin", *files),
        "algorithm.name": ("grpo", "ppo", "opd", "sft"),
        "reward.reasoning.method": ("embedding", "translation", "comet", "likelihood"),
    }


def test_a_key_belongs_to_the_choices_whose_class_has_it() -> None:
    belongs = {key.name: (key.chosen_by, key.choices) for key in keys()}
    assert belongs["algorithm.gae_lambda"] == ("algorithm.name", ("ppo",))
    assert belongs["algorithm.group_size"] == ("algorithm.name", ("grpo", "ppo", "opd"))
    assert belongs["algorithm.steps"] == belongs["algorithm.name"] == ("", ())
    assert belongs["reward.reasoning.low"] == ("reward.reasoning.method", ("embedding", "translation", "comet"))
