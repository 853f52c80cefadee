"""Test what the words of the command line mean, and that a mistake is one line with exit code 2, never a traceback."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.builds import package_version
from contracts.config.data import TrainingData
from contracts.config.keys import keys, sections
from contracts.paths import ROOT
from driver.cli import COMMANDS, DEFAULT_CONFIG, WITHOUT_CONFIG, main, parse
from driver.commands.completion import script
from driver.key_help import sections_of
from driver.version import project_version
from tests.refusals import refused

CONFIG = """
[run]
folder = "{runs}"
[policy]
model = "owner/policy"
[pivot]
model = "owner/pivot"
[scorer]
model = "owner/scorer"
[algorithm]
steps = 3
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG.format(runs=tmp_path / "runs"), encoding="utf-8")
    return path


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line of a command that is refused."""
    assert main(words) == 2
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert line.startswith("error: ")
    return line


# --- what a word means ------------------------------------------------------------------------------------------------


def test_without_a_word_the_quickstart_is_trained() -> None:
    command, arguments = parse([])
    assert (command, arguments.config, arguments.overrides) == ("train", DEFAULT_CONFIG, [])
    assert DEFAULT_CONFIG.is_file()


def test_a_config_alone_is_trained_and_overrides_are_kept_in_order(config: Path) -> None:
    command, arguments = parse([str(config), "algorithm.steps=3", "run.name=a=b", "--json"])
    assert (command, arguments.config, arguments.json) == ("train", config, True)
    assert arguments.overrides == ["algorithm.steps=3", "run.name=a=b"]


@pytest.mark.parametrize("command", ["train", "evaluate", "plan"])
def test_a_command_comes_first_but_for_options(command: str, config: Path) -> None:
    for words in ([command, str(config), "--json"], ["--json", command, str(config)]):
        parsed, arguments = parse(words)
        assert (parsed, arguments.config, arguments.json) == (command, config, True)


def test_a_config_is_found_from_here_and_then_from_the_projects_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse(["configs/quickstart.toml"])[1].config == ROOT / "configs" / "quickstart.toml"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "quickstart.toml").touch()
    assert parse(["configs/quickstart.toml"])[1].config == tmp_path / "configs" / "quickstart.toml"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "-h"])
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert COMMANDS[command] in text
    assert "--json" in text


def test_the_overview_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(f"  {command} " in text for command in COMMANDS)
    assert "0 done, 1 failed while running, 2 bad input" in text


def test_a_key_may_be_written_as_an_option(config: Path) -> None:
    words = ["--policy.model", "a=b", "--json", str(config), "--algorithm.steps=5", "--reward.weights.numbers", "-1"]
    command, arguments = parse(words)
    assert (command, arguments.config, arguments.json) == ("train", config, True)
    assert arguments.overrides == ["policy.model=a=b", "algorithm.steps=5", "reward.weights.numbers=-1"]


def test_an_option_of_the_command_stays_one_and_takes_its_value(config: Path) -> None:
    _, arguments = parse(["evaluate", str(config), "--data", "mgsm.x=folder", "--items=3", "--policy.dtype", "float32"])
    assert (arguments.data, arguments.items, arguments.overrides) == (["mgsm.x=folder"], 3, ["policy.dtype=float32"])


@pytest.mark.parametrize("words", [["--policy.model"], ["--policy.model", "--json"]])
def test_an_option_without_its_value_is_refused(words: list[str]) -> None:
    with refused("policy.model", "--policy.model"):
        parse(words)


def test_an_option_without_its_section_is_answered_with_the_whole_key() -> None:
    with refused("--max-response-tokens", "--policy.max_response_tokens"):
        parse(["plan", "--max-response-tokens", "3"])


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what a command prints that only explains."""
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_the_version_names_the_project_and_its_engines(capsys: pytest.CaptureFixture[str]) -> None:
    found = dict(line.split(" ", 1) for line in printed(capsys, "--version").splitlines())
    assert found["PB-RLSVR"] == project_version()
    assert found["torch"] == package_version("torch")


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in WITHOUT_CONFIG])
def test_the_help_of_a_command_has_every_key_that_it_reads_in_80_columns(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, command, "-h").split("keys, written", 1)[1]
    blocks = dict(re.findall(r"^  \[([\w.]+)\]\n(.*?)(?:\n\n|\Z)", text, flags=re.DOTALL | re.MULTILINE))
    tops = sections_of(command)
    for key in keys():
        section, _, name = key.name.rpartition(".")
        assert (section in blocks) == (section.partition(".")[0] in tops)
        assert section not in blocks or re.search(rf"(^|\s){name}\b", blocks[section])
    assert all(len(line) <= 80 for block in blocks.values() for line in block.splitlines())


@pytest.mark.parametrize("words", [("-h", "data"), ("train", "-h", "data"), ("train", "data", "--help")])
def test_the_help_of_a_section_explains_its_keys(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, *words)
    assert {"[data]", "[data.columns]"} == set(re.findall(r"^\[[\w.]+\]", text, flags=re.MULTILINE))
    assert " ".join(str(TrainingData.model_fields["languages"].description).split()) in " ".join(text.split())


def test_the_help_of_a_section_has_the_sections_in_it_and_a_key_may_be_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    headings = re.findall(r"^\[([\w.]+)\]", printed(capsys, "-h", "reward"), flags=re.MULTILINE)
    assert headings == [name for name in sections() if name.split(".")[0] == "reward"]
    assert "algorithm.steps" in printed(capsys, "-h", "algorithm.steps")
    assert "algorithm.steps" in printed(capsys, "-h", "steps")


def test_help_about_what_is_not_there_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "evaluation" in refusal(capsys, "-h", "evaluaton")
    assert "policy.temperature" in refusal(capsys, "plan", "-h", "temperture")


def test_every_mistake_has_a_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(config), "algorithm.steps=0", "policy.dtype=int8"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["error", "error"]
    assert "policy.dtype" in lines[0] and "algorithm.steps" in lines[1]
    assert main(["plan", str(config), "policy.model=./nowhere", "scorer.model=./nothing"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ev"], "evaluate"),
        (["evaluate", "--ta"], "--tasks"),
        (["train", "algorithm.st"], "algorithm.steps="),
        (["train", "--policy.mo"], "--policy.model="),
        (["plan", "policy.model", "=", "con"], "configs"),
        (["verify", "--s"], "--shards"),
    ],
)
def test_bash_completes_commands_options_keys_and_files(words: list[str], expected: str) -> None:
    program = (
        f'{script("bash")}\nCOMP_WORDS=(pb-rlsvr "$@"); COMP_CWORD=$#; _pb_rlsvr\nprintf \'%s\\n\' "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", program, "bash", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert expected in done.stdout.splitlines()


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_an_unknown_command_is_answered_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with refused("evalute", "'evaluate'"):
        parse(["evalute"])
    assert ", ".join(COMMANDS) in refusal(capsys, "xyz")


def test_a_command_behind_the_config_is_refused_with_the_right_order(config: Path) -> None:
    with refused("plan", "plan CONFIG.toml"):
        parse([str(config), "plan"])


def test_an_unknown_key_is_answered_with_the_nearest_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "algorithm.steps" in refusal(capsys, "plan", str(config), "algorithm.step=3")
    assert "policy.temperature" in refusal(capsys, "plan", str(config), "policy.temprature=1")


def test_a_second_config_is_refused(config: Path) -> None:
    with refused("other.toml"):
        parse(["plan", str(config), "other.toml"])


def test_a_missing_config_is_refused_by_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path / "none.toml") in refusal(capsys, "plan", str(tmp_path / "none.toml"))


def test_an_unknown_option_is_refused_in_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "plan", str(config), "--steps", "3")
    assert "--steps" in line
    assert "-h" in line


def test_a_report_needs_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "folder" in refusal(capsys, "report")
    assert str(tmp_path) in refusal(capsys, "report", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train", "evaluate", "plan"])
def test_a_refused_command_makes_no_folder(command: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(config.parent.iterdir())
    refusal(capsys, command, str(config), "policy.model=./nowhere")
    assert sorted(config.parent.iterdir()) == before


# --- results ----------------------------------------------------------------------------------------------------------


def test_json_is_the_last_line_and_everything_else_keeps_away_from_stdout(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(config), "--json"]) == 0
    written = capsys.readouterr()
    summary = json.loads(written.out)
    assert [actor["name"] for actor in summary["actors"]] == ["policy-0", "pivot-0", "scorer-0", "learner-0"]
    assert "policy-0" in written.err


def test_a_plan_is_a_table_for_people_and_starts_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(config.parent.iterdir())
    assert main(["plan", str(config)]) == 0
    written = capsys.readouterr()
    assert "learner-0" in written.out
    assert "in total: 4 CPUs and 0 GPUs" in written.out
    assert written.err == ""
    assert sorted(config.parent.iterdir()) == before


@pytest.mark.slow
def test_run_py_works_from_any_directory_and_ends_with_the_exit_code(config: Path, tmp_path: Path) -> None:
    def run_py(*words: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(ROOT / "driver" / "run.py"), *words]
        return subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run_py("plan", "mine.toml", "--json").returncode == 0
    refused = run_py("plan", "mine.toml", "policy.modle=x")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "Traceback" not in refused.stderr


def test_help_and_plan_load_neither_torch_nor_ray(config: Path) -> None:
    program = (
        "import sys; from driver.cli import main\n"
        f"assert main(['plan', {str(config)!r}]) == 0\n"
        "print('loaded:', sorted({'torch', 'ray', 'vllm', 'deepspeed', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_evaluate_takes_models_a_config_and_flags_in_any_order(config: Path) -> None:
    words = [
        "evaluate",
        "owner/a",
        "--tasks",
        "mgsm-rev2,xcopa",
        str(config),
        "b",
        "--items",
        "3",
        "policy.dtype=float32",
    ]
    command, arguments = parse(words)
    assert (command, arguments.models, arguments.config) == ("evaluate", ["owner/a", "b"], config)
    assert (arguments.tasks, arguments.items, arguments.overrides) == ("mgsm-rev2,xcopa", 3, ["policy.dtype=float32"])


def test_a_model_is_no_word_of_other_commands(config: Path) -> None:
    with refused("owner/a", "owner/a"):
        parse(["plan", str(config), "owner/a"])


def test_translate_takes_a_file_of_problems_beside_a_config(config: Path) -> None:
    command, arguments = parse(["translate", "questions.csv", str(config), "translate.into=sw"])
    assert (command, arguments.models, arguments.config) == ("translate", ["questions.csv"], config)


@pytest.mark.parametrize(("words", "key"), [(["nothing.csv"], "nothing.csv"), (["a.csv", "b.csv"], "b.csv")])
def test_translate_refuses_what_is_no_single_file_of_problems(
    words: list[str], key: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["translate", *words, str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert key in line


def test_compare_takes_several_folders() -> None:
    command, arguments = parse(["compare", "runs/a", "runs/b", "--out", "c"])
    assert (command, arguments.folders, arguments.out) == ("compare", ["runs/a", "runs/b"], "c")


@pytest.mark.parametrize(
    "words",
    [
        ["--tasks", ""],
        ["--tasks", "mgsm,,xcopa"],
        ["--languages", ""],
        ["--languages", "en,"],
        ["--data", ""],
        ["--data", "mgsm="],
        ["--data", "=runs"],
    ],
)
def test_a_flag_of_evaluate_that_names_nothing_is_refused(
    words: list[str], tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(config), *words, f"run.folder={tmp_path / 'runs'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words[0] in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("task", ["mgsm-rev2"])
def test_a_misspelt_task_is_refused_before_anything_starts(
    task: str, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tasks", "mgsm-rev", f"run.folder={tmp_path / 'runs'}", f"policy.model={tmp_path}"]
    assert main(["evaluate", str(config), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert task in line
    assert not (tmp_path / "runs").exists()
