"""Every way to ask for what can't be: one clear line, exit 2, no run folder made and no Ray started or left behind."""

import json
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

pytestmark = pytest.mark.integration

ROW = {"item_id": "a", "language": "de", "question": "Wie viele?", "question_en": "How many?", "answer": "1"}


@pytest.fixture
def config(tiny_models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # a command sets it in this process: taken back afterwards
    monkeypatch.delenv("RAY_AUTH_MODE")
    return write_config(tmp_path, tiny_models)


@pytest.fixture
def refusal(config: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `train` with these overrides, which must be refused; the line that was said."""

    def refuse(*overrides: str) -> str:
        before = {path for path in config.parent.rglob("*")}
        assert main(["train", str(config), *overrides]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert {path for path in config.parent.rglob("*")} == before
        assert not ray.is_initialized()
        return line

    return refuse


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("learner.num_rank=2", "unknown key learner.num_rank; did you mean learner.num_ranks?"),
        (
            "algorithm.group_size=1",
            "algorithm.group_size 1 gives algorithm.advantage 'group' no response to compare with; it needs at least 2",
        ),
        ("policy.max_response_tokens=-5", "policy.max_response_tokens is -5; it should be greater than or equal to 1"),
        ("policy.max_response_tokens=512", "leaves no tokens for a prompt"),
        ("reward.weights.answer=0.9", "reward.weights sum to 1.3 (answer 0.9, reasoning 0.4, numbers 0, custom 0)"),
        ("learner.num_ranks=3", "4 x 4 = 16 samples can't be divided over learner.num_ranks = 3"),
        ("policy.model=.cache/models/nothing", "policy.model = '.cache/models/nothing': there is no folder"),
        ("scorer.model=/nowhere/encoder", "scorer.model = '/nowhere/encoder': there is no folder"),
        ("data.languages=de,xx", "data.languages: unknown language 'xx'; known are ar, bn, de, en"),
        ("data.split=validation", "data.split is 'validation'; it should be 'train' or 'test'"),
        ("evaluation.source=mgsm", "evaluation.path is missing"),
        ("reward.reasoning.judge=comet", 'write reward.reasoning.method = "comet"'),
        ("algorithm.gae_lambda=1", 'algorithm.gae_lambda belongs to algorithm.name = "ppo"'),
        ("evaluation.source=mgsm evaluation.path=/nowhere", "/nowhere has no mgsm_en.tsv"),
        ("policy.chat_template=none.jinja", "policy.chat_template"),
        ("learner.lora.rank=4 learner.lora.targets=q_proj,nope", "has no layer 'nope'; it has down_proj"),
    ],
)
def test_impossible_values_are_refused(refusal: Callable[..., str], override: str, said: str) -> None:
    assert said in refusal(*override.split())


def test_a_prompt_longer_than_the_context_is_refused_with_its_length(refusal: Callable[..., str]) -> None:
    line = refusal("policy.max_model_len=40")
    assert "the prompt has" in line
    assert "leaves 16" in line  # 40 less 24 for the response
    assert "raise the first" in line


def test_a_tokenizer_without_a_chat_template_is_refused_with_the_remedy(
    refusal: Callable[..., str], tiny_models: TinyModels, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_models.policy, bare)
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((bare / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    line = refusal(f"policy.model={bare}")
    assert "its tokenizer has no chat template; give a file with one, such as policy.chat_template=" in line


def test_a_critic_that_reads_other_tokens_is_refused(
    refusal: Callable[..., str], tiny_models: TinyModels, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_models.policy, other)
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["a token that the policy doesn't have"])
    tokenizer.save_pretrained(other)
    line = refusal("algorithm.name=ppo", f"critic.model={other}")
    assert f"critic.model '{other}' has another vocabulary" in line


def test_a_critic_with_a_shorter_context_is_refused(
    refusal: Callable[..., str], tiny_models: TinyModels, tmp_path: Path
) -> None:
    short = tmp_path / "short"
    shutil.copytree(tiny_models.policy, short)
    facts = json.loads((short / "config.json").read_text(encoding="utf-8")) | {"max_position_embeddings": 32}
    (short / "config.json").write_text(json.dumps(facts), encoding="utf-8")
    line = refusal("algorithm.name=ppo", f"critic.model={short}")
    assert "policy.max_model_len" in line
    assert f"is longer than the own context of critic.model '{short}', 32 tokens" in line


def test_a_folder_that_is_no_model_is_refused(refusal: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert f"policy.model = '{tmp_path / 'empty'}'" in refusal(f"policy.model={tmp_path / 'empty'}")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([ROW, {**ROW, "item_id": "b"}, '{"item_id": "c", '], "line 3: broken JSON"),
        ([{name: cell for name, cell in ROW.items() if name != "question"}], "line 1: no column 'question'"),
        ([ROW, {**ROW, "item_id": "b", "question": "  "}], "line 2: question is empty"),
        ([ROW, {**ROW, "question": "Noch einmal?"}], "line 2: item 'a' in language 'de' is already at"),
        ([{**ROW, "question_en": ""}], "line 1: question_en is empty"),
        ([{name: cell for name, cell in ROW.items() if name != "question_en"}], "line 1: no column 'question_en'"),
        ([{**ROW, "language": "xx"}], "line 1: unknown language 'xx'"),
        ([ROW], "has no problem in fr"),
        ([], "holds no problem"),
    ],
)
def test_a_data_set_that_is_wrong_is_refused_by_file_and_line(
    refusal: Callable[..., str], tmp_path: Path, lines: list[dict[str, str] | str], said: str
) -> None:
    path = tmp_path / "train.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    line = refusal("data.source=jsonl", f"data.path={path}")
    assert said in line
    assert str(path) in line


def test_an_evaluation_set_without_answers_is_refused(refusal: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    rows = [{**ROW, "language": language, "answer": ""} for language in ("de", "fr")]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    line = refusal("evaluation.source=jsonl", f"evaluation.path={path}")
    assert "has no answer to evaluate against" in line


def test_a_run_folder_that_is_taken_is_left_alone(refusal: Callable[..., str], tmp_path: Path) -> None:
    taken = tmp_path / "runs" / "mine"
    taken.mkdir(parents=True)
    (taken / "metrics.jsonl").write_text("precious", encoding="utf-8")
    assert f"{taken} already holds a run" in refusal("run.name=mine")
    assert (taken / "metrics.jsonl").read_text(encoding="utf-8") == "precious"


def test_a_dead_cluster_is_refused_by_its_address(refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert f"RAY_ADDRESS={address}: nobody answers there" in refusal()


def test_more_devices_than_there_are_is_refused_with_both_numbers_and_no_ray_is_left(
    config: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    asked = ("learner.num_cpus=5000", "policy.num_workers=3")
    done = run_project("train", str(config), *asked, cwd=tmp_path, environment=environment)
    assert done.code == 2
    (line,) = done.errors
    # 3 policy workers x 0.3, pivot 0.2, scorer 0.2 and 2 ranks x 5000
    assert "the run asks for 10001.3 CPUs and 0 GPUs" in line
    assert "3 policy x (0.3 CPUs" in line
    assert "the cluster has" in line
    assert not (tmp_path / "runs").exists()
    assert done.left_behind == ()


def test_gpus_where_there_are_none_are_refused(config: Path, environment: dict[str, str], tmp_path: Path) -> None:
    done = run_project(
        "evaluate", str(config), "cluster.device=cuda", "policy.tensor_parallel_size=512", cwd=tmp_path,
        environment=environment,
    )  # fmt: skip
    assert done.code == 2
    (line,) = done.errors
    assert "the run asks for 0.3 CPUs and 512 GPUs" in line
    assert done.left_behind == ()
