"""Test what hparams.yaml says about a COMET model, and what is refused."""

from pathlib import Path

import pytest

from rewards.comet.settings import read_settings
from tests.refusals import raised

QUALITY = "class_identifier: referenceless_regression_metric\npretrained_model: some/encoder\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("class_identifier: ranking_metric", "class_identifier 'ranking_metric'"),
        ("[1, 2]", "list"),
        ("a: !!python/object/apply:os.getcwd []", "python/object/apply:os.getcwd"),
        (QUALITY + "pool: max", "pool 'max'"),
        (QUALITY + "layer: 3", "layer 3"),
        (QUALITY + "layer_transformation: entmax", "layer_transformation 'entmax'"),
        (QUALITY + "encoder_model: BERT", "encoder_model 'BERT'"),
        (QUALITY + "hidden_sizes: []", "hidden_sizes []"),
        ("class_identifier: unified_metric\ninput_segments: [src, mt]", "input_segments"),
    ],
)
def test_a_setting_that_is_not_supported_is_refused_with_its_name(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(text, encoding="utf-8")
    with raised(ValueError, "hparams.yaml", named):
        read_settings(path)


def test_settings_that_are_left_out_are_the_packages_defaults(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(QUALITY, encoding="utf-8")
    found = read_settings(path)
    assert (found.mix, found.layer_norm, found.hidden_sizes, found.pooling) == ("softmax", True, (2048, 1024), "avg")
    assert not found.needs_reference


def test_the_patched_sparsemax_of_kiwi_is_softmax_and_its_pool_is_the_first_token(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(
        "class_identifier: unified_metric\nlayer_transformation: sparsemax_patch\npool: avg\ninput_segments: [mt, src]",
        encoding="utf-8",
    )
    found = read_settings(path)
    assert (found.mix, found.pooling, found.needs_reference) == ("softmax", "cls", False)


def test_a_unified_model_reads_the_reference_unless_its_settings_leave_it_out(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text("class_identifier: unified_metric\n", encoding="utf-8")
    found = read_settings(path)
    assert (found.input_segments, found.needs_reference) == (("mt", "src", "ref"), True)


def test_the_final_activation_and_small_layers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(QUALITY + "hidden_sizes: [2, 1]\nfinal_activation: Sigmoid\n", encoding="utf-8")
    found = read_settings(path)
    assert (found.hidden_sizes, found.final_activation) == ((2, 1), "Sigmoid")
    path.write_text(QUALITY, encoding="utf-8")
    assert read_settings(path).final_activation is None
