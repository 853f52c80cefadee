"""Test the sentence encoder on a tiny real model: order, length, cache, counters."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from quickstart.tiny import build_tiny_encoder, tiny_tokenizer
from rewards.models.encoder import SentenceEncoder, plan_batches
from rewards.reasoning.embedding import EmbeddingSimilarity
from rewards.reasoning.similarity import ReasoningPair
from tests.refusals import refused

TEXTS = ["a", "three apples and two more", "a", "5 + 6 = 11", "b"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_encoder(tmp_path_factory.mktemp("models") / "encoder")


def build(model: Path, *, text_prefix: str = "", cache_size: int = 100, batch_size: int = 2) -> SentenceEncoder:
    return SentenceEncoder(
        str(model),
        text_prefix=text_prefix,
        batch_size=batch_size,
        dtype="float32",
        device="cpu",
        cache_size=cache_size,
    )


def test_a_static_encoder_reads_whole_texts_of_any_length(tmp_path: Path) -> None:
    module = StaticEmbedding(tiny_tokenizer(), embedding_dim=8)
    SentenceTransformer(modules=[module], device="cpu").save_pretrained(str(tmp_path))
    encoder = build(tmp_path)
    long = "three apples and two more " * 500
    vectors = encoder.encode([*TEXTS, long])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert encoder.max_tokens == 0
    assert encoder.count_tokens([""]) == [0]
    assert encoder.count_tokens([long])[0] > 500
    assert encoder.stats.num_truncated_texts == 0
    similarity = EmbeddingSimilarity(encoder)
    pair = ReasoningPair(language="de", reasoning=long, reference=long)
    assert similarity.similarities([pair]) == pytest.approx([1.0], abs=1e-5)


@pytest.mark.parametrize("damage", ["modules.json", "config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_encoder_is_refused_by_its_key(model: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "encoder"
    shutil.copytree(model, copy)
    (found,) = list(copy.rglob(damage))[:1]
    found.write_bytes(found.read_bytes()[:20])
    with refused("scorer.model", str(copy)):
        build(copy)


CODE = """
from sentence_transformers.sentence_transformer.modules import Normalize

class Own(Normalize):
    pass
"""


def test_code_of_an_encoder_runs_only_where_it_is_trusted(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "encoder"
    shutil.copytree(model, copy)
    (copy / "own_module.py").write_text(CODE, encoding="utf-8")
    modules = json.loads((copy / "modules.json").read_text(encoding="utf-8"))
    modules.append({"idx": len(modules), "name": "own", "path": "", "type": "own_module.Own"})
    (copy / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with refused("scorer.model", "scorer.trust_remote_code"):
        build(copy)
    settings = {"text_prefix": "", "batch_size": 2, "device": "cpu", "dtype": "float32", "trust_remote_code": True}
    trusted = SentenceEncoder(str(copy), **settings)  # pyright: ignore[reportArgumentType]
    assert trusted.encode(["a"]).shape[0] == 1
    (copy / "own_module.py").write_text(f"{CODE}\n# changed", encoding="utf-8")
    changed = SentenceEncoder(str(copy), **settings)  # pyright: ignore[reportArgumentType]
    assert changed.fingerprint != trusted.fingerprint


def test_vectors_come_in_order_with_length_one(model: Path) -> None:
    together = build(model).encode(TEXTS)
    alone = np.concatenate([build(model).encode([text]) for text in TEXTS])
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_repeated_text_is_encoded_once_and_then_remembered(model: Path) -> None:
    encoder = build(model)
    first = encoder.encode(TEXTS, remember=True)
    assert (encoder.stats.num_texts, encoder.stats.num_encoded) == (5, 4)
    second = encoder.encode(["b", "new"], remember=True)
    assert (encoder.stats.num_texts, encoder.stats.num_encoded) == (7, 5)
    np.testing.assert_array_equal(second[0], first[4])


def test_cache_forgets_what_was_used_longest_ago(model: Path) -> None:
    encoder = build(model, cache_size=2)
    encoder.encode(["a", "b"], remember=True)
    encoder.encode(["a"], remember=True)  # b is now the oldest
    encoder.encode(["c"], remember=True)
    assert encoder.stats.num_encoded == 3
    encoder.encode(["a"], remember=True)
    assert encoder.stats.num_encoded == 3
    encoder.encode(["b"], remember=True)
    assert encoder.stats.num_encoded == 4


def test_call_larger_than_the_cache_still_answers_for_every_text(model: Path) -> None:
    encoder = build(model, cache_size=1)
    encoder.encode(["a"], remember=True)
    np.testing.assert_allclose(encoder.encode(TEXTS, remember=True), build(model).encode(TEXTS), atol=1e-5)


def test_prefix_goes_before_every_text(model: Path) -> None:
    with_prefix = build(model, text_prefix="query: ").encode(["a"])
    np.testing.assert_allclose(with_prefix, build(model).encode(["query: a"]), atol=1e-5)


def test_tokens_beyond_the_model_are_counted(model: Path) -> None:
    encoder = build(model)
    encoder.encode(["a"])
    assert (encoder.stats.num_truncated_texts, encoder.stats.num_truncated_tokens) == (0, 0)
    short = encoder.stats.num_tokens
    encoder.encode(["five and six " * 1000])
    assert encoder.stats.num_truncated_texts == 1
    assert encoder.stats.num_truncated_tokens > 1000
    assert encoder.stats.num_tokens - short == 1024  # as many as the tiny encoder reads


def test_no_texts_give_no_rows(model: Path) -> None:
    encoder = build(model)
    assert encoder.encode([]).shape == (0, encoder.encode(["a"]).shape[1])


def test_batches_are_cut_where_padding_costs_more_than_a_call() -> None:
    lengths = [10, 9, 2, 2]
    # One batch: 4 x 10 + 5 = 45. Two: 2 x 10 + 5 and 2 x 2 + 5 make 34. Three, with 10 alone: 15 + 14 + 9 = 38.
    assert plan_batches(lengths, max_texts=4, call_tokens=5) == [slice(0, 2), slice(2, 4)]
    # One batch: 40 + 20 = 60; two: 40 + 24 = 64.
    assert plan_batches(lengths, max_texts=4, call_tokens=20) == [slice(0, 4)]
    assert plan_batches(lengths, max_texts=1, call_tokens=20) == [slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 4)]
    assert plan_batches([], max_texts=4, call_tokens=5) == []


def test_tokens_are_counted_with_the_prefix_and_beyond_what_is_read(model: Path) -> None:
    plain, prefixed = build(model), build(model, text_prefix="query: ")
    (one,) = plain.count_tokens(["5"])
    assert plain.count_tokens(["5", "55", ""]) == [one, one + 1, one - 1]
    assert prefixed.count_tokens(["5"])[0] > one
    long = "5" * (plain.max_tokens + 10)
    assert plain.count_tokens([long]) == [one - 1 + len(long)]


def test_fingerprint_tells_weights_prefix_and_length_apart_and_nothing_else(model: Path, tmp_path: Path) -> None:
    first = build(model)
    assert build(model, batch_size=7, cache_size=3).fingerprint == first.fingerprint
    moved = tmp_path / "moved"
    shutil.copytree(model, moved)
    assert build(moved).fingerprint == first.fingerprint
    assert build(model, text_prefix="query: ").fingerprint != first.fingerprint
    weights = moved / "model.safetensors"
    tensors = load_file(weights)
    tensors = {name: tensor * 1.01 if "layer.1" in name else tensor for name, tensor in tensors.items()}
    save_file(tensors, weights)
    assert build(moved).fingerprint != first.fingerprint


def test_vector_that_is_not_finite_is_not_remembered(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    tensors = load_file(broken / "model.safetensors")
    save_file({name: tensor * float("nan") for name, tensor in tensors.items()}, broken / "model.safetensors")
    encoder = build(broken)
    assert np.isnan(encoder.encode(["a"], remember=True)).all()
    encoder.encode(["a"], remember=True)
    assert encoder.stats.num_encoded == 2


def test_the_dtype_is_the_model_s_and_part_of_its_fingerprint(model: Path) -> None:
    """Half precision changes every vector, so a calibration in float32 does not fit it."""
    settings = {"text_prefix": "", "batch_size": 2, "device": "cpu", "cache_size": 0}
    single = SentenceEncoder(str(model), dtype="float32", **settings)
    half = SentenceEncoder(str(model), dtype="bfloat16", **settings)
    assert single.fingerprint != half.fingerprint
    assert np.abs(single.encode(TEXTS) - half.encode(TEXTS)).max() > 1e-6
