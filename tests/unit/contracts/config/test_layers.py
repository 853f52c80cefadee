"""Test configs that extend others: which value wins, what a mistake names, and what is refused."""

from pathlib import Path

import pytest

from contracts.config.learning import SftConfig
from contracts.config.load import dump_config, load_config
from contracts.config.run import Config
from contracts.errors import BadInput
from tests.refusals import refused

BASE = """
[policy]
model = "policy-model"
max_model_len = 2048
chat_template_arguments = {enable_thinking = false, style = "short"}
[pivot]
model = "pivot-model"
[scorer]
model = "scorer-model"
[data]
languages = ["de", "sw"]
[algorithm]
steps = 3
group_size = 8
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "base.toml").write_text(BASE, encoding="utf-8")
    return tmp_path


def extending(folder: Path, text: str, *, base: str = "configs/base.toml", name: str = "mine.toml") -> Path:
    """Write a config that extends `base`."""
    path = folder / name
    path.write_text(f'extends = "{base}"\n{text}', encoding="utf-8")
    return path


def test_a_file_wins_over_what_it_extends_key_by_key_and_an_override_over_both(folder: Path) -> None:
    mine = extending(
        folder,
        '[policy]\nmax_model_len = 4096\nchat_template_arguments = {style = "long"}\n[data]\nlanguages = ["th"]\n'
        "[algorithm]\ngroup_size = 4",
    )
    config = load_config(mine, ["algorithm.group_size=2"])
    assert (config.policy.model, config.policy.max_model_len) == ("policy-model", 4096)
    assert config.policy.chat_template_arguments == {"enable_thinking": False, "style": "long"}
    assert config.data.languages == ("th",)
    assert (config.algorithm.steps, config.algorithm.samples_per_problem) == (3, 2)


def test_a_path_starts_at_the_folder_of_the_file_that_has_it_and_files_may_be_chained(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = extending(folder / "configs", "[algorithm]\nsteps = 5", base="base.toml", name="middle.toml")
    mine = extending(folder, "[learner]\nlearning_rate = 1e-5", base="configs/middle.toml")
    monkeypatch.chdir(folder / "configs")
    assert load_config(middle).algorithm.steps == 5
    config = load_config(mine)
    assert (config.algorithm.steps, config.learner.learning_rate, config.pivot.model) == (5, 1e-5, "pivot-model")


def test_what_a_run_keeps_has_every_value_and_extends_nothing(folder: Path) -> None:
    config = load_config(extending(folder, "[algorithm]\nsteps = 7"))
    kept = folder / "config.toml"
    kept.write_text(dump_config(config), encoding="utf-8")
    (folder / "configs" / "base.toml").unlink()
    assert load_config(kept) == config


def test_another_choice_leaves_out_the_keys_below_that_belong_to_the_old_one(folder: Path) -> None:
    config = load_config(extending(folder, '[algorithm]\nname = "sft"'))
    assert isinstance(config.algorithm, SftConfig)
    assert config.algorithm.steps == 3
    with refused("algorithm.group_size", "mine.toml"):
        load_config(extending(folder, '[algorithm]\nname = "sft"\ngroup_size = 2'))


def test_a_mistake_names_the_file_that_it_is_in(folder: Path) -> None:
    mine = extending(folder, "[policy]\nmax_model_len = 0")
    base = folder / "configs" / "base.toml"
    base.write_text(BASE.replace("steps = 3", "steps = 0"), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_config(mine)
    named = {mistake.key: str(mistake).split(": ")[0] for mistake in caught.value.all}
    assert named == {"policy.max_model_len": str(mine), "algorithm.steps": str(base)}


@pytest.mark.parametrize("base", ["mine.toml", "./configs/../mine.toml"])
def test_a_circle_is_refused(folder: Path, base: str) -> None:
    with refused("extends", "mine.toml"):
        load_config(extending(folder, "", base=base))
    extending(folder / "configs", "", base="../mine.toml", name="other.toml")
    with refused("extends", "other.toml", "mine.toml"):
        load_config(extending(folder, "", base="configs/other.toml"))


@pytest.mark.parametrize(
    "value", ["3", '["a.toml", "b.toml"]', '""', '"configs/none.toml"', '"configs"', '"a\\u0000b"']
)
def test_only_the_path_of_one_config_can_be_extended(folder: Path, value: str) -> None:
    mine = folder / "mine.toml"
    mine.write_text(f"extends = {value}\n", encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_config(mine)
    assert caught.value.key == (str(folder / "configs") if value == '"configs"' else "extends")


def test_extends_is_no_section(folder: Path) -> None:
    assert "extends" not in Config.model_fields
    with refused("extends"):
        load_config(folder / "configs" / "base.toml", ["extends=other.toml"])
