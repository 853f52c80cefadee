"""Test the config that `translate` writes beside its rows: what it keeps of the given one, and what it replaces."""

from pathlib import Path

import pytest

from contracts.config.data import FileData, FileEvaluation
from contracts.config.load import load_config
from contracts.config.run import Config
from driver.config_paths import with_absolute_paths
from driver.translation.training_config import TRAINING_CONFIG, write_training_config

GIVEN = """
[data]
source = "csv"
path = "{folder}/domande.csv"
header = ["domanda", "risposta"]
columns = {{question = "domanda", answer = "risposta"}}
rows_language = "it"
languages = ["it"]
split = "train"
[evaluation]
source = "csv"
path = "{test}"
columns = {{question = "domanda"}}
split = "test"
[policy]
model = "some-org/policy"
[pivot]
model = "some-org/pivot"
[scorer]
model = "some-org/encoder"
[algorithm]
steps = 20
"""


@pytest.fixture
def given(tmp_path: Path) -> Path:
    return write(tmp_path, test=tmp_path / "domande.csv")


def write(folder: Path, *, test: Path) -> Path:
    path = folder / "domande.toml"
    path.write_text(GIVEN.format(folder=folder, test=test), encoding="utf-8")
    return path


def training_config(given: Path, *overrides: str) -> Config:
    """Return what is loaded from the config that is written for a translation with these overrides."""
    translating = with_absolute_paths(load_config(given, overrides), models=())
    return load_config(write_training_config(given.parent, translating, extends=given, overrides=overrides))


def test_data_and_evaluation_of_the_same_file_are_read_from_the_rows(given: Path) -> None:
    config = training_config(given)
    rows = str(given.parent / "questions.jsonl")
    assert isinstance(config.data, FileData) and isinstance(config.evaluation, FileEvaluation)
    for section in (config.data, config.evaluation):
        assert (section.source, section.path, section.columns.question) == ("jsonl", rows, "question")
    assert (config.data.split, config.evaluation.split, config.data.languages) == ("train", "test", ("it",))
    assert config.algorithm.steps == 20


def test_another_test_set_stays_as_it_is(tmp_path: Path) -> None:
    config = training_config(write(tmp_path, test=tmp_path / "others.csv"))
    assert isinstance(config.evaluation, FileEvaluation)
    assert (config.evaluation.source, config.evaluation.columns.question) == ("csv", "domanda")


def test_what_the_command_changed_is_kept_but_not_what_is_of_the_translation(given: Path) -> None:
    config = training_config(given, "algorithm.steps=3", "run.name=english", "translate.translator=pivot")
    assert (config.algorithm.steps, config.run.name, config.translate.translator) == (3, None, "seq2seq")


def test_questions_that_are_made_from_english_ones_are_learned_in_their_languages(given: Path) -> None:
    assert training_config(given, "data.languages=en", "translate.into=sw,th").data.languages == ("sw", "th")


def test_a_config_that_is_there_is_not_written_over(given: Path) -> None:
    (given.parent / TRAINING_CONFIG).write_text(f'extends = "{given.name}"\n[run]\nname = "mine"', encoding="utf-8")
    assert training_config(given).run.name == "mine"
