"""Test the seconds that are reckoned for a step against an account by hand for Llama-3.1-8B on H100s of 80 GB."""

import re
from pathlib import Path

import pytest

from benchmarks.published import LLAMA_8B, published_model
from benchmarks.reckoning import Machine, Work, learner_s, push_s, step_time, tokens_per_s, turns_s
from benchmarks.scale import STAGES, changed_keys, main, tables
from cluster.estimate.shapes import model_size
from contracts.config.device_defaults import with_device_defaults
from contracts.config.run import Config
from contracts.config.workers import ClusterConfig
from contracts.paths import ROOT
from tests.builders import a_config

MACHINE, WORK = Machine(), Work()


def eight_gpus(folder: Path, **learner: object) -> Config:
    """Return 128 x 8 responses on four ranks and two policy workers, nothing shared between responses."""
    model = published_model(folder, LLAMA_8B)
    keys = {"num_ranks": 4, "gradient_checkpointing": True, "share_prompts": False}
    config = a_config(
        policy={"model": model, "num_workers": 2, "max_model_len": 2048},
        pivot={"model": model},
        scorer={"model": model},
        algorithm={"steps": 1, "groups_per_step": 128, "group_size": 8},
        learner=keys | learner,
    )
    return with_device_defaults(config, "cuda")


@pytest.mark.parametrize(("sequences", "by_hand"), [(64, 7500), (256, 15800)])
def test_decoding_reads_weights_and_cache_once_a_step(tmp_path: Path, sequences: int, by_hand: float) -> None:
    """16 GB of weights and 128 KiB a cached token, 800 of them: by hand 8.5 and 16.2 ms a step."""
    config = eight_gpus(tmp_path)
    size = model_size(config.policy.model, key="policy.model")
    assert size is not None
    rate = tokens_per_s(config.policy, size, MACHINE, sequences=sequences, context=800)
    assert rate == pytest.approx(by_hand, rel=0.05)


def test_the_learner_takes_a_minute_with_long_rows_and_half_as_much_again_with_short_ones(tmp_path: Path) -> None:
    """By hand 59 s with rows of 16,384 and a chunk of 2,048, and 88 s with rows of 2,048 and a chunk of 256."""
    long = learner_s(eight_gpus(tmp_path), MACHINE, WORK)
    assert long == pytest.approx(59, rel=0.1)
    short = eight_gpus(tmp_path, row_tokens=2048, logprob_chunk_tokens=256)
    assert learner_s(short, MACHINE, WORK) == pytest.approx(88, rel=0.12)


def test_a_push_of_8b_takes_half_a_second_in_large_buckets(tmp_path: Path) -> None:
    """16 GB twice over NVLink are 0.13 s, six times through GPU memory 0.04 s, and 30 buckets 0.3 s."""
    assert push_s(eight_gpus(tmp_path), MACHINE) == pytest.approx(0.46, abs=0.02)


def test_with_staleness_learner_and_generation_overlap(tmp_path: Path) -> None:
    config = eight_gpus(tmp_path)
    alone = step_time(config, MACHINE, WORK)
    stale = config.algorithm.model_copy(update={"max_staleness": 1})
    overlapped = step_time(config.model_copy(update={"algorithm": stale}), MACHINE, WORK)
    drawn = max(alone.generation, alone.pivot, alone.scoring)
    assert alone.whole == pytest.approx(drawn * 1.08 + 1 + alone.learner + alone.push)
    assert overlapped.whole == pytest.approx(
        max(overlapped.generation, overlapped.pivot, overlapped.scoring, overlapped.learner) + overlapped.push
    )


@pytest.mark.parametrize("name", ["llama-3.1-8b-8gpu", "qwen3-32b-32gpu"])
def test_the_page_about_scaling_shows_what_the_command_prints(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    given, changed, constants = tables(ROOT / "configs" / f"{name}.toml", [], WORK, folder=tmp_path)
    assert given.splitlines()[-1].replace("as it is", f"`{name}.toml`") in page
    assert [line for line in (*changed.splitlines(), *constants.splitlines()) if line not in page] == []


def test_the_layouts_on_the_page_are_what_the_command_prints(tmp_path: Path) -> None:
    """The first column of the table has what is put behind the config on the command line."""
    section = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8").split("## Layouts")[1].split("##")[0]
    shown = dict(re.findall(r"^\| `([^`]*)` (\|[ \d.|]+\|)$", section, flags=re.MULTILINE))
    assert len(shown) >= 4
    config = ROOT / "configs" / "llama-3.1-8b-8gpu.toml"
    for overrides, seconds in shown.items():
        given, _, _ = tables(config, overrides.split(), WORK, folder=tmp_path)
        assert given.splitlines()[-1] == f"| as it is {seconds}", overrides


def test_turns_on_shared_gpus_cost_the_way_of_the_states_twice(tmp_path: Path) -> None:
    """18 bytes of 8.03e9 / 8 parameters out and back at 50 GB/s, and a second for each change."""
    config = eight_gpus(tmp_path, num_ranks=8)
    shared = config.model_copy(update={"cluster": ClusterConfig(colocate=True)})
    assert turns_s(config, MACHINE) == 0
    assert turns_s(shared, MACHINE) == pytest.approx(2 * (1 + 18 * 8.03e9 / 8 / 50e9), rel=0.001)


def test_bad_input_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(ROOT / "configs" / "sft.toml")]) == 2
    assert main([str(ROOT / "configs" / "llama-3.1-8b-8gpu.toml"), "pivot.model=some-org/unknown"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "algorithm.name" in first
    assert "pivot.model" in second


def test_each_changed_key_is_a_row(tmp_path: Path) -> None:
    config = ROOT / "configs" / "llama-3.1-8b-8gpu.toml"
    _, changed, _ = tables(config, [], WORK, folder=tmp_path)
    assert len(changed.splitlines()) == 2 + len(changed_keys(eight_gpus(tmp_path)))
    assert all(line.count("|") == len(STAGES) + 2 for line in changed.splitlines())
