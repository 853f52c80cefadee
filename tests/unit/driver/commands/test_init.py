"""Test `init`: what it chooses for data, models and machine, that the config loads, what is not written over."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.published import PUBLISHED, published_model
from contracts.config.load import load_config
from contracts.config.run import Config
from driver.cli import main
from driver.first_config.lengths import choose
from driver.first_config.machine import Machine, proposals
from quickstart.tiny import build_tiny_encoder, build_tiny_model
from tests.refusals import refused

GPU_GIB = 79.6
ROWS = [
    {"item_id": str(item), "language": language, "question": f"{text} {item}?", "question_en": f"How many, {item}?"}
    for item in range(4)
    for language, text in (("de", "Wie viele Äpfel hat Anna insgesamt"), ("sw", "Ngapi"))
]


class Models(NamedTuple):
    policy: str
    encoder: str


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    return Models(str(build_tiny_model(folder / "tiny")), str(build_tiny_encoder(folder / "encoder")))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    return path


def init(data: Path, models: Models, *words: str, code: int = 0) -> Path:
    """Run `init`, and return where the config is to be."""
    out = data.parent / "mine.toml"
    given = ["--policy", models.policy, "--encoder", models.encoder, "--out", str(out)]
    assert main(["init", str(data), *given, *words]) == code
    return out


def written(data: Path, models: Models, *words: str) -> Config:
    return load_config(init(data, models, *words))


def test_languages_and_lengths_come_from_the_data(
    data: Path, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(data, models, "--gpus", "0")
    assert config.data.languages == ("de", "sw")
    assert config.data.source == "jsonl" and config.data.path == str(data)
    assert (config.policy.model, config.pivot.model, config.scorer.model) == (
        models.policy,
        models.policy,
        models.encoder,
    )
    assert config.policy.max_response_tokens < config.policy.max_model_len
    said = capsys.readouterr().out
    assert "Wie viele Äpfel hat Anna insgesamt 0?" in said and "Ngapi 0?" in said


@pytest.mark.slow
def test_the_config_that_is_written_has_no_mistake(data: Path, models: Models) -> None:
    out = init(data, models, "--gpus", "0")
    assert main(["doctor", str(out), "--samples", "0", f"run.folder={data.parent}"]) == 0
    assert out.read_text(encoding="utf-8").startswith("# ")


def test_an_existing_file_is_not_written_over(data: Path, models: Models) -> None:
    out = data.parent / "mine.toml"
    out.write_text("precious", encoding="utf-8")
    init(data, models, code=2)
    assert out.read_text(encoding="utf-8") == "precious"


def test_what_the_user_gives_is_kept(data: Path, models: Models) -> None:
    config = written(
        data, models, "--gpus", "0", "--languages", "sw", "algorithm.steps=7", "--policy.max_model_len", "200"
    )
    assert (config.data.languages, config.algorithm.steps, config.policy.max_model_len) == (("sw",), 7, 200)


@pytest.mark.parametrize("given", ["nothing.jsonl", "mine.docx"])
def test_data_that_is_none_is_refused_and_nothing_is_written(data: Path, models: Models, given: str) -> None:
    (data.parent / "mine.docx").touch()
    before = sorted(data.parent.iterdir())
    init(data.parent / given, models, code=2)
    assert sorted(data.parent.iterdir()) == before


def test_a_mistake_in_the_data_is_reported_and_nothing_is_written(data: Path, models: Models) -> None:
    data.write_text('{"question": 3}', encoding="utf-8")
    assert not init(data, models, code=2).exists()


def test_models_that_can_t_be_read_are_refused_together(
    data: Path, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub is switched off in tests."""
    assert not init(data, models, "--policy", "owner/none", "--pivot", "./nowhere", code=2).exists()
    lines = capsys.readouterr().err.splitlines()
    assert ["owner/none" in line for line in lines] == [True, False]
    assert "./nowhere" in lines[1]


# --- the machine ------------------------------------------------------------------------------------------------------


def on_gpus(data: Path, tmp_path: Path, models: Models, model: str, num: int) -> Config:
    """Return the config for a policy of a published size, without its weights, whose tokenizer is the tiny model's."""
    folder = Path(published_model(tmp_path / "published", PUBLISHED[model]))
    for file in Path(models.policy).iterdir():
        if file.name.startswith(("tokenizer", "chat_template", "special")):
            (folder / file.name).write_bytes(file.read_bytes())
    return written(data, Models(str(folder), models.encoder), "--gpus", str(num), "--pivot", models.policy)


def test_one_gpu_is_used_in_turns(data: Path, tmp_path: Path, models: Models) -> None:
    config = on_gpus(data, tmp_path, models, "Qwen/Qwen2.5-1.5B-Instruct", 1)
    assert config.cluster.colocate and config.learner.lora is None
    assert (config.policy.num_workers, config.learner.num_ranks, config.scorer.num_gpus) == (1, 1, 0)


def test_a_model_that_is_too_large_for_the_learner_gets_adapters(data: Path, tmp_path: Path, models: Models) -> None:
    """All weights of Llama-3.1-8B need 18 bytes x 8.03e9 = 134 GiB on one rank."""
    config = on_gpus(data, tmp_path, models, "meta-llama/Llama-3.1-8B-Instruct", 1)
    assert config.learner.lora is not None and config.weights.lora == "merged"


def test_eight_gpus_are_shared_out_so_that_the_learner_fits(data: Path, tmp_path: Path, models: Models) -> None:
    config = on_gpus(data, tmp_path, models, "meta-llama/Llama-3.1-8B-Instruct", 8)
    assert config.learner.lora is None
    assert config.policy.num_workers + config.learner.num_ranks + 1 == 8
    assert config.pivot.num_gpus == 0.75 and config.scorer.num_gpus == 0.25


@pytest.mark.parametrize("num", [0, 1, 2, 3, 4, 8, 16])
def test_no_proposal_takes_more_than_there_is(num: int) -> None:
    found = list(proposals(Machine(gpus=num, cpus=8, gpu_gib=GPU_GIB)))
    assert found
    for values in found:
        workers = int(str(values.get("policy.num_workers", 1))) * int(str(values.get("policy.tensor_parallel_size", 1)))
        ranks = 0 if "cluster.colocate" in values else int(str(values.get("learner.num_ranks", 0)))
        shared = 1 if "pivot.num_gpus" in values else 0
        assert num == 0 or workers + ranks + shared <= num
        cpus = sum(float(str(value)) for key, value in values.items() if key.endswith("num_cpus"))
        assert cpus <= 8


# --- lengths ----------------------------------------------------------------------------------------------------------


def test_a_length_holds_the_longest_prompt_and_a_response() -> None:
    found = choose([40, 90], context=4096, response=256, section="policy")
    assert (found.max_model_len, found.max_response_tokens, found.skips) == (384, 256, False)  # 346, rounded up to 64


def test_prompts_that_leave_no_room_are_left_out() -> None:
    found = choose([40, 500], context=512, response=1024, section="policy")
    assert (found.max_model_len, found.max_response_tokens, found.skips) == (512, 256, True)


def test_a_model_that_can_read_no_prompt_is_refused() -> None:
    with refused("pivot.model", " 512 ", " 500"):
        choose([500], context=512, response=1024, section="pivot")
