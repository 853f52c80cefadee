"""Ask for what is not possible: one line on standard error, exit code 2, no run folder and no Ray."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
from transformers import AutoTokenizer

from driver.cli import main
from tests.commands import run_project
from tests.integration.conftest import TinyModels, write_config

CPUS = os.cpu_count() or 1
ROW = {"item_id": "a", "language": "de", "question": "Wie viele?", "question_en": "How many?", "answer": "1"}

Refusal = Callable[..., str]


@pytest.fixture
def config(tiny_models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # a command sets it in this process; this restores it afterwards
    monkeypatch.delenv("RAY_AUTH_MODE")
    return write_config(tmp_path, tiny_models)


@pytest.fixture
def refusal(config: Path, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Run `train` with overrides that must be refused. Return the line on standard error."""

    def refuse(*overrides: str) -> str:
        before = set(config.parent.rglob("*"))
        assert main(["train", str(config), *overrides]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert set(config.parent.rglob("*")) == before
        assert not ray.is_initialized()
        return line

    return refuse


@pytest.mark.parametrize(
    ("overrides", "named"),  # keys and values that the line must name
    [
        ("learner.num_rank=2", ("learner.num_rank;", "learner.num_ranks")),
        ("algorithm.group_size=1", ("algorithm.group_size 1", "algorithm.advantage 'group'")),
        ("policy.max_response_tokens=-5", ("policy.max_response_tokens", "-5")),
        ("policy.max_response_tokens=512", ("policy.max_response_tokens", "512")),
        ("policy.max_model_len=40", ("policy.max_model_len", " 16")),  # 40 less 24 for the response
        ("reward.weights.answer=0.9", ("reward.weights", "1.3")),
        ("learner.num_ranks=17", ("learner.num_ranks", "16", "17")),
        ("policy.model=.cache/models/nothing", ("policy.model", ".cache/models/nothing")),
        ("scorer.model=/nowhere/encoder", ("scorer.model", "/nowhere/encoder")),
        ("data.languages=de,xx", ("data.languages", "'xx'")),
        ("data.split=validation", ("data.split", "'validation'", "'train'", "'test'")),
        ("reward.reasoning.judge=comet", ('reward.reasoning.method = "comet"',)),
        ("algorithm.gae_lambda=1", ("algorithm.gae_lambda", 'algorithm.name = "ppo"')),
        ("evaluation.source=mgsm", ("evaluation.path",)),
        ("evaluation.source=mgsm evaluation.path=/nowhere", ("/nowhere", "mgsm_en.tsv")),
        ("policy.chat_template=none.jinja", ("policy.chat_template", "none.jinja")),
        ("learner.lora.rank=4 learner.lora.targets=q_proj,nope", ("'nope'", "down_proj")),
    ],
)
def test_impossible_values_are_refused(refusal: Refusal, overrides: str, named: tuple[str, ...]) -> None:
    line = refusal(*overrides.split())
    assert [name for name in named if name not in line] == []


def edited(model: Path, file: str, folder: Path, **changes: object) -> Path:
    """Copy a model folder and change settings in one of its JSON files; None removes one."""
    shutil.copytree(model, folder)
    settings = json.loads((folder / file).read_text(encoding="utf-8")) | changes
    kept = {name: value for name, value in settings.items() if value is not None}
    (folder / file).write_text(json.dumps(kept), encoding="utf-8")
    return folder


def test_a_tokenizer_without_a_chat_template_is_refused_with_the_remedy(
    refusal: Refusal, tiny_models: TinyModels, tmp_path: Path
) -> None:
    bare = edited(tiny_models.policy, "tokenizer_config.json", tmp_path / "bare", chat_template=None)
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    assert "policy.chat_template=" in refusal(f"policy.model={bare}")


def test_a_critic_that_reads_other_tokens_is_refused(refusal: Refusal, tiny_models: TinyModels, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_models.policy, other)
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["a token that the policy does not have"])
    tokenizer.save_pretrained(other)
    line = refusal("algorithm.name=ppo", f"critic.model={other}")
    assert f"critic.model '{other}'" in line and "vocabulary" in line


def test_a_critic_with_a_shorter_context_is_refused(refusal: Refusal, tiny_models: TinyModels, tmp_path: Path) -> None:
    short = edited(tiny_models.policy, "config.json", tmp_path / "short", max_position_embeddings=32)
    line = refusal("algorithm.name=ppo", f"critic.model={short}")
    assert "policy.max_model_len" in line and f"critic.model '{short}'" in line and " 32 " in line


def test_a_folder_that_is_no_model_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    line = refusal(f"policy.model={tmp_path / 'empty'}")
    assert "policy.model" in line and str(tmp_path / "empty") in line


def without(column: str) -> dict[str, str]:
    return {name: cell for name, cell in ROW.items() if name != column}


@pytest.mark.parametrize(
    ("lines", "where", "what"),
    [
        ([ROW, {**ROW, "item_id": "b"}, '{"item_id": "c", '], "line 3", "JSON"),
        ([without("question")], "line 1", "'question'"),
        ([ROW, {**ROW, "item_id": "b", "question": "  "}], "line 2", "question"),
        ([ROW, {**ROW, "question": "Noch einmal?"}], "line 2", "'a'"),
        ([{**ROW, "question_en": ""}], "line 1", "question_en"),
        ([without("question_en")], "line 1", "'question_en'"),
        ([{**ROW, "language": "xx"}], "", "1 in xx"),
        ([ROW], "", " fr"),
        ([], "", "no problem"),
    ],
)
def test_a_wrong_data_set_is_refused_by_file_and_line(
    refusal: Refusal, tmp_path: Path, lines: list[dict[str, str] | str], where: str, what: str
) -> None:
    path = tmp_path / "train.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    _, file, rest = refusal("data.source=jsonl", f"data.path={path}").partition(str(path))
    assert file and where in rest and what in rest


def test_an_evaluation_set_without_answers_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    rows = [{**ROW, "language": language, "answer": ""} for language in ("de", "fr")]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    line = refusal("evaluation.source=jsonl", f"evaluation.path={path}")
    assert str(path) in line and "answer" in line


def test_a_run_folder_that_is_taken_is_not_changed(refusal: Refusal, tmp_path: Path) -> None:
    taken = tmp_path / "runs" / "mine"
    taken.mkdir(parents=True)
    (taken / "metrics.jsonl").write_text("precious", encoding="utf-8")
    assert str(taken) in refusal("run.name=mine")
    assert (taken / "metrics.jsonl").read_text(encoding="utf-8") == "precious"


def test_a_cluster_that_does_not_answer_is_refused_by_its_address(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert f"RAY_ADDRESS={address}" in refusal()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("train", "learner.num_cpus=5000"), ("learner-0", "5000 CPUs", "learner.num_cpus")),
        # 2 ranks that take a node each, policy 0.3, pivot 0.2 and scorer 0.2
        (
            ("train", f"learner.num_cpus={CPUS}"),
            (f"{2 * CPUS + 0.7:g} CPUs", f"2 learner x ({CPUS} CPUs", "learner.num_ranks"),
        ),
        (("evaluate", "cluster.device=cuda"), ("cluster.device", "install-gpu")),
    ],
)
def test_more_devices_than_there_are_is_refused_with_the_numbers_and_leaves_no_ray(
    config: Path, environment: dict[str, str], tmp_path: Path, words: tuple[str, ...], named: tuple[str, ...]
) -> None:
    command, *overrides = words
    done = run_project(command, str(config), *overrides, cwd=tmp_path, environment=environment)
    assert done.code == 2
    (line,) = done.errors
    assert [name for name in named if name not in line] == []
    assert not (tmp_path / "runs").exists()
    assert done.left_behind == ()
