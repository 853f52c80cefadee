"""Test `init`: what it chooses for data, models and machine, that the config loads, what is not written over."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.published import PUBLISHED, published_model
from contracts.config.data import FileData, FileEvaluation
from contracts.config.load import load_config
from contracts.config.reward import EmbeddingReasoning
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


# --- data as people have it ------------------------------------------------------------------------------------------

KOREAN = [
    {"question": f"사과가 {item}개 있습니다. 모두 몇 개입니까?", "answer": answer, "lang": "ko", "gid": item}
    for item, answer in enumerate(["3", "\\frac{1}{2}", "5", "7", *map(str, range(8, 40))])
]
"""A language without built-in problems, columns with other names, no English, and an answer that is no number."""


@pytest.fixture
def korean(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(KOREAN), encoding="utf-8")
    return path


def test_columns_are_found_by_usual_names_and_missing_english_leads_to_translate(
    korean: Path, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    out = init(korean, models, "--gpus", "0", f"run.folder={korean.parent}")
    config = load_config(out)
    assert isinstance(config.data, FileData) and isinstance(config.evaluation, FileEvaluation)
    assert config.data.languages == ("ko",)
    for section in (config.data, config.evaluation):
        assert section.path == str(korean)
        assert (section.columns.language, section.columns.item_id, section.columns.answer) == ("lang", "gid", "answer")
    assert (config.data.split, config.evaluation.split, config.evaluation.on_bad_item) == ("train", "test", "skip")
    assert config.data.on_bad_item == "skip"  # nobody knows how long the English will be
    assert isinstance(config.reward.reasoning, EmbeddingReasoning) and config.reward.reasoning.calibration == "off"
    said = capsys.readouterr().out
    assert f"translate {out} run.name=mine-english" in said
    assert f"train {korean.parent}/mine-english/train.toml" in said


def test_answers_in_the_data_are_evaluated_on_a_part_that_is_not_learned_from(data: Path, models: Models) -> None:
    rows = [row | {"item_id": str(item), "answer": item} for item in range(20) for row in ROWS[:2]]
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    config = written(data, models, "--gpus", "0")
    assert isinstance(config.data, FileData) and isinstance(config.evaluation, FileEvaluation)
    assert (config.data.split, config.evaluation.split) == ("train", "test")
    assert config.evaluation_languages == ("en", "de", "sw")


def test_without_answers_the_built_in_problems_are_evaluated_where_the_language_has_some(
    data: Path, models: Models
) -> None:
    config = written(data, models, "--gpus", "0")
    assert config.evaluation.source == "builtin" and config.evaluation.before


def test_without_answers_and_without_built_in_problems_nothing_is_evaluated(korean: Path, models: Models) -> None:
    rows = [{name: value for name, value in row.items() if name != "answer"} for row in KOREAN]
    korean.write_text(json.dumps(rows), encoding="utf-8")
    config = written(korean, models, "--gpus", "0")
    assert not config.evaluation.is_wanted


def test_a_test_set_without_english_questions_is_measured_in_the_trained_languages(
    data: Path, korean: Path, models: Models
) -> None:
    rows = [row | {"lang": "de"} for row in KOREAN]
    korean.write_text(json.dumps(rows), encoding="utf-8")
    config = written(data, models, "--gpus", "0", "--languages", "de", "--test", str(korean))
    assert config.evaluation_languages == ("de",)
    assert isinstance(config.evaluation, FileEvaluation) and config.evaluation.columns.language == "lang"


def test_numbers_of_rows_are_not_taken_for_items(data: Path, models: Models) -> None:
    """`id` counts the rows of each language, and the same number is not the same item: the English differs."""
    rows = [
        {"id": item, "language": language, "question": row["question"], "question_en": f"How many {language} {item}?"}
        for item in range(4)
        for language, row in (("de", ROWS[0]), ("sw", ROWS[1]))
    ]
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    config = written(data, models, "--gpus", "0")
    assert isinstance(config.data, FileData) and config.data.columns.item_id == "item_id"


def test_a_csv_in_one_language_needs_its_language_only(tmp_path: Path, models: Models) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("domanda,risposta\n" + "\n".join(f"Quante mele {n}?,{n}" for n in range(30)), encoding="utf-8")
    columns = ("data.columns.question=domanda", "data.columns.answer=risposta")
    config = written(path, models, "--gpus", "0", "--languages", "it", *columns)
    assert config.data.languages == ("it",)
    assert isinstance(config.evaluation, FileEvaluation) and config.evaluation.columns.question == "domanda"


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
