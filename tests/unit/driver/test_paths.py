"""Test where a run reads and writes: the checkout, a submitted job's copy, the run's own folder; and its seeds."""

import sys
from pathlib import Path

import pytest

import contracts.paths as paths
from contracts.config.data import FileData, HubData, MgsmEvaluation
from contracts.config.load import load_config
from contracts.errors import BadInput
from contracts.paths import ROOT, absolute, home
from contracts.seeds import sampling_seeds
from driver.config_paths import resolve_model, with_absolute_paths
from driver.tracking.run_folder import check_new, create, run_name
from tests.builders import a_config

GOLDEN = (6942726718546763249, 4408804823128103329)
JOB_COPY = Path("/tmp/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_0123456789abcdef")


@pytest.fixture(autouse=True)
def no_named_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(paths.HOME_VARIABLE, raising=False)


@pytest.fixture
def in_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the project is Ray's copy for a submitted job."""
    monkeypatch.setattr(paths, "ROOT", JOB_COPY)


def test_relative_paths_start_at_the_project_wherever_the_command_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert home() == ROOT
    assert absolute("runs") == ROOT / "runs"
    assert absolute("/data/runs") == Path("/data/runs")
    assert absolute("~/runs") == Path.home() / "runs"


@pytest.mark.usefixtures("in_job")
def test_a_job_writes_into_the_checkout_that_its_interpreter_belongs_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "run.py").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert absolute("runs") == tmp_path / "runs"


@pytest.mark.usefixtures("in_job")
def test_a_job_without_a_checkout_is_told_how_to_name_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    with pytest.raises(BadInput) as refused:
        absolute("runs")
    assert refused.value.key == paths.HOME_VARIABLE
    assert absolute("/shared/runs") == Path("/shared/runs")


@pytest.mark.usefixtures("in_job")
def test_a_named_home_wins_over_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
    assert absolute("runs") == tmp_path / "runs"


def test_a_model_is_a_folder_or_a_hub_name_and_never_a_path_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert resolve_model(str(tmp_path / "model"), "policy.model") == str(tmp_path / "model")
    assert resolve_model("owner/name", "policy.model") == "owner/name"
    for missing in ("./nowhere", ".cache/models/nothing", "/nowhere", "a/b/c"):
        with pytest.raises(BadInput) as refused:
            resolve_model(missing, "policy.model")
        assert refused.value.key == "policy.model"


def test_every_path_of_a_config_becomes_absolute(tmp_path: Path) -> None:
    given = a_config(
        run={"folder": "out"},
        policy={"model": str(tmp_path), "chat_template": "policy.jinja"},
        pivot={"model": "owner/name", "cache": "refs", "chat_template": "pivot.jinja"},
        scorer={"model": "owner/name"},
        data={"source": "jsonl", "path": "train.jsonl"},
        evaluation={"source": "mgsm", "path": "mgsm"},
    )
    made = with_absolute_paths(given)
    assert made.run.folder == str(ROOT / "out")
    assert made.policy.chat_template == str(ROOT / "policy.jinja")
    assert made.pivot.chat_template == str(ROOT / "pivot.jinja")
    assert made.pivot.cache == str(ROOT / "refs")
    assert isinstance(made.data, FileData) and made.data.path == str(ROOT / "train.jsonl")
    assert isinstance(made.evaluation, MgsmEvaluation) and made.evaluation.path == str(ROOT / "mgsm")
    assert (made.policy.model, made.pivot.model) == (str(tmp_path), "owner/name")


def test_what_is_left_empty_and_a_hub_datasets_name_stay_as_they_are() -> None:
    made = with_absolute_paths(
        a_config(pivot={"cache": "off"}, data={"source": "huggingface", "path": "owner/dataset"})
    )
    assert made.pivot.cache == "off"
    assert made.pivot.chat_template is None
    assert isinstance(made.data, HubData) and made.data.path == "owner/dataset"


def test_a_commands_own_models_alone_must_be_there() -> None:
    given = a_config(scorer={"model": "./nowhere"})
    assert with_absolute_paths(given, models=("policy",)).scorer.model == "./nowhere"
    with pytest.raises(BadInput) as refused:
        with_absolute_paths(given)
    assert refused.value.key == "scorer.model"


# --- the run's folder ---------------------------------------------------------------------------------------------


def test_a_run_is_named_by_its_config_or_after_its_file_and_the_time() -> None:
    assert run_name(a_config(run={"name": "mine"}), Path("configs/quickstart.toml")) == "mine"
    assert run_name(a_config(), Path("configs/quickstart.toml")).startswith("quickstart-2")


def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    given = a_config(run={"folder": str(tmp_path)})
    create(check_new(given, "mine"), given)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput) as refused:
        check_new(given, "mine")
    assert refused.value.key == "run.name"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["file", "file/inside"])
def test_a_place_where_no_folder_can_be_is_refused_before_anything_is_started(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    with pytest.raises(BadInput) as refused:
        check_new(a_config(run={"folder": str(tmp_path)}), name)
    assert refused.value.key == "run.folder"
    assert (tmp_path / "file").read_text(encoding="utf-8") == "precious"


def test_asking_for_a_folder_makes_none(tmp_path: Path) -> None:
    check_new(a_config(run={"folder": str(tmp_path / "runs")}), "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_holds_the_config_that_it_was_started_with(tmp_path: Path) -> None:
    given = a_config(run={"folder": str(tmp_path)}, data={"languages": ["th", "sw"]})
    folder = create(tmp_path / "mine", given)
    assert load_config(folder.config) == given
    assert folder.checkpoints.is_dir()
    assert folder.logs.is_dir()


# --- seeds --------------------------------------------------------------------------------------------------------


def test_seeds_differ_by_run_by_every_part_of_the_key_and_by_sample() -> None:
    keys = [(step, item, language) for step in range(20) for item in ("a", "b", "a/b") for language in ("de", "b/de")]
    seeds = [seed for run in (1, 2) for key in keys for seed in sampling_seeds(run, *key, num=8)]
    assert len(set(seeds)) == len(seeds) == 2 * 20 * 3 * 2 * 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    assert sampling_seeds(1, "a", "bc", num=1) != sampling_seeds(1, "ab", "c", num=1)
    assert sampling_seeds(1, 23, num=1) != sampling_seeds(12, 3, num=1)


def test_seeds_are_those_that_older_runs_were_made_with() -> None:
    assert sampling_seeds(1, "1/0/a/de", num=2) == GOLDEN
    assert sampling_seeds(1, "1/0/a/de", num=1) == GOLDEN[:1]
