"""Test COMET's files: which are read, which are refused, and when one is converted."""

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rewards.comet.checkpoint import converted, listed, open_checkpoint, renamed
from tests.refusals import raised

QUALITY = "class_identifier: referenceless_regression_metric\npretrained_model: some/encoder\n"


def save(path: Path, value: float, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 1, "state_dict": {"layerwise_attention.gamma": torch.tensor([value])}, **more}, path)
    return path


def test_a_checkpoint_is_converted_once_and_again_when_it_changes(tmp_path: Path) -> None:
    source = save(tmp_path / "checkpoints" / "model.ckpt", 1.0)
    weights, first = converted(source, cache_folder=tmp_path / "cache")
    assert weights == tmp_path / "checkpoints" / "model.safetensors"
    assert load_file(weights)["mix.gamma"].tolist() == [1.0]
    written = weights.stat().st_mtime_ns
    assert converted(source, cache_folder=tmp_path / "cache") == (weights, first)
    assert weights.stat().st_mtime_ns == written

    save(source, 2.0)
    os.utime(source, ns=(1, 1))  # of the same size, but of another time and other bytes
    weights, second = converted(source, cache_folder=tmp_path / "cache")
    assert load_file(weights)["mix.gamma"].tolist() == [2.0]
    assert second != first


def test_a_copied_folder_keeps_its_conversion(tmp_path: Path) -> None:
    source = save(tmp_path / "one" / "model.ckpt", 1.0)
    weights, _ = converted(source, cache_folder=tmp_path / "cache")
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copyfile)  # with times of its own
    copy = tmp_path / "two" / weights.name
    before = copy.stat().st_mtime_ns
    assert converted(tmp_path / "two" / "model.ckpt", cache_folder=tmp_path / "cache")[0] == copy
    assert copy.stat().st_mtime_ns == before


def test_a_damaged_conversion_is_made_again(tmp_path: Path) -> None:
    source = save(tmp_path / "model.ckpt", 1.0)
    weights, _ = converted(source, cache_folder=tmp_path / "cache")
    weights.write_bytes(weights.read_bytes()[:7])
    assert load_file(converted(source, cache_folder=tmp_path / "cache")[0])["mix.gamma"].tolist() == [1.0]


def test_where_the_models_folder_cant_be_written_the_conversion_goes_to_the_cache(tmp_path: Path) -> None:
    source = save(tmp_path / "model.ckpt", 1.0)
    (tmp_path / "model.safetensors").mkdir()  # a folder in its place: nothing can be renamed to it
    weights, sha256 = converted(source, cache_folder=tmp_path / "cache")
    assert weights.parent == tmp_path / "cache" / "comet"
    assert converted(source, cache_folder=tmp_path / "cache") == (weights, sha256)
    assert [path.name for path in (tmp_path / "cache" / "comet").iterdir()] == [weights.name]


def test_each_model_has_a_file_of_its_own_in_the_cache(tmp_path: Path) -> None:
    sources = [save(tmp_path / name / "model.ckpt", value) for name, value in (("one", 1.0), ("two", 2.0))]
    for source in sources:
        source.with_suffix(".safetensors").mkdir()  # nothing can be written beside the model
    first, second = (converted(source, cache_folder=tmp_path / "cache")[0] for source in sources)
    assert [load_file(path)["mix.gamma"].item() for path in (first, second)] == [1.0, 2.0]


class Harmful:
    """Imitate an object that an attacker puts into a checkpoint."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_a_checkpoint_that_runs_a_program_is_refused_and_does_not_run_it(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    source = save(tmp_path / "model.ckpt", 1.0, callbacks=Harmful(str(trace)))
    with raised(ValueError, str(source), "mkdir"):
        converted(source, cache_folder=tmp_path)
    assert not trace.exists()


def test_what_old_lightning_checkpoints_mention_is_read_as_nothing(tmp_path: Path) -> None:
    """A class of a library that isn't installed here, as the key of a callback's state."""
    named = b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n"
    state = b"}(" + named + b"}u"  # {ModelCheckpoint: {}}
    tensors = {"state_dict": {"layerwise_attention.gamma": torch.tensor([3.0])}, "callbacks": "HERE"}
    source = tmp_path / "model.ckpt"
    torch.save(tensors, source, pickle_protocol=2)
    replace_in_pickle(source, pickle.dumps("HERE", 2)[2:-1], state)
    weights, _ = converted(source, cache_folder=tmp_path)
    assert load_file(weights)["mix.gamma"].tolist() == [3.0]


def replace_in_pickle(path: Path, old: bytes, new: bytes) -> None:
    """Rewrite data.pkl inside the zip that torch.save wrote."""
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in parts if name.endswith("data.pkl"))
    # The memo opcode after the string differs from build to build: only the string itself is replaced.
    bare = old[: old.index(b"HERE") + 4]
    assert parts[name].count(bare) == 1
    parts[name] = parts[name].replace(bare, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps({"state_dict": 1})])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "model.ckpt"
    source.write_bytes(content)
    with raised(ValueError, str(source)):
        converted(source, cache_folder=tmp_path)


def test_names_are_mapped_and_what_scores_dont_need_is_dropped() -> None:
    one = torch.zeros(1)
    found = renamed(
        {
            "encoder.model.embeddings.word_embeddings.weight": one,
            "encoder.model.embeddings.position_ids": one,
            "encoder.model.pooler.dense.weight": one,
            "layerwise_attention.scalar_parameters.24": one,
            "layerwise_attention.dropout_mask": one,
            "estimator.ff.6.bias": one,
            "hidden2tag.weight": one,
        },
        where="model.ckpt",
    )
    assert sorted(found) == ["encoder.embeddings.word_embeddings.weight", "head.6.bias", "mix.scalars.24"]


def test_unknown_tensors_are_refused_by_name() -> None:
    with raised(ValueError, "model.ckpt", "decoder.bias"):
        renamed({"decoder.bias": torch.zeros(1)}, where="model.ckpt")


def test_a_folder_without_a_needed_file_is_refused_by_the_file_s_name(tmp_path: Path) -> None:
    with raised(ValueError, str(tmp_path), "hparams.yaml"):
        open_checkpoint(str(tmp_path), cache_folder=tmp_path)
    (tmp_path / "hparams.yaml").write_text(QUALITY, encoding="utf-8")
    with raised(ValueError, str(tmp_path), "checkpoints/model.ckpt"):
        open_checkpoint(str(tmp_path), cache_folder=tmp_path)


def test_a_name_that_is_no_folder_and_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with raised(ValueError, str(tmp_path / "nothing" / "here"), "the hub"):
        open_checkpoint(str(tmp_path / "nothing" / "here"), cache_folder=tmp_path)


def test_a_list_of_names_says_how_many_more_there_are() -> None:
    assert listed(["a", "b"], most=2) == "a, b"
    assert listed(["a", "b", "c", "d"], most=2) == "a, b and 2 more"
