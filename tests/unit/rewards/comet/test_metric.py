"""Test the three COMET classes on tiny random networks: texts in, scores out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import XLMRobertaConfig, XLMRobertaModel

from rewards.comet.feeding import CometInput
from rewards.comet.metric import CometMetric, load_comet
from tests.models.tiny_comet import FACTORS, WORDS, save_comet
from tests.refusals import raised

KINDS = tuple(FACTORS)


def load(folder: Path, **options: object) -> CometMetric:
    return load_comet(str(folder), encoder=str(folder / "encoder"), cache_folder=folder / "cache", **options)  # pyright: ignore


@contextmanager
def count_encoded() -> Iterator[list[int]]:
    """Record the number of sequences in each call of the encoder."""
    calls: list[int] = []

    def note(module: torch.nn.Module, _: object) -> None:
        if isinstance(module, torch.nn.Embedding) and module.num_embeddings == len(WORDS):
            calls.append(0)

    def count(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        note(module, arguments)
        if isinstance(module, torch.nn.Embedding) and module.num_embeddings == len(WORDS):
            calls[-1] = len(arguments[0])

    handle = register_module_forward_pre_hook(count)
    try:
        yield calls
    finally:
        handle.remove()


def by_hand(folder: Path, sequence: list[int], *, pool: str) -> torch.Tensor:
    """[D] embedding by transformers alone: the plain mean of the three layers, then of the tokens or the first one."""
    state = torch.load(folder / "checkpoints" / "model.ckpt")["state_dict"]
    network = XLMRobertaModel(XLMRobertaConfig.from_pretrained(folder / "encoder"), add_pooling_layer=False).eval()
    prefix = "encoder.model."
    network.load_state_dict({name[len(prefix) :]: one for name, one in state.items() if name.startswith(prefix)})
    with torch.no_grad():
        layers = network(torch.tensor([sequence]), output_hidden_states=True).hidden_states
    mean = torch.stack(layers).mean(dim=0)[0]
    return mean.mean(dim=0) if pool == "avg" else mean[0]


def head_by_hand(folder: Path, features: torch.Tensor) -> float:
    state = torch.load(folder / "checkpoints" / "model.ckpt")["state_dict"]
    hidden = torch.tanh(state["estimator.ff.0.weight"] @ features + state["estimator.ff.0.bias"])
    return float(state["estimator.ff.3.weight"] @ hidden + state["estimator.ff.3.bias"])


def test_a_regression_score_is_the_formula(tmp_path: Path) -> None:
    folder = save_comet(tmp_path, "regression_metric")
    found = load(folder).score([CometInput(source="one two", translation="eins zwei", reference="zwei")])
    source = by_hand(folder, [0, 4, 5, 2], pool="avg")
    translation = by_hand(folder, [0, 7, 8, 2], pool="avg")
    reference = by_hand(folder, [0, 8, 2], pool="avg")
    features = [translation, reference, translation * reference, (translation - reference).abs()]
    features += [translation * source, (translation - source).abs()]
    assert found[0] == pytest.approx(head_by_hand(folder, torch.cat(features)), abs=1e-5)


def test_a_unified_score_reads_the_translation_before_the_source(tmp_path: Path) -> None:
    folder = save_comet(tmp_path, "unified_metric")
    found = load(folder).score([CometInput(source="one two", translation="eins")])
    expected = head_by_hand(folder, by_hand(folder, [0, 7, 2, 2, 4, 5, 2], pool="cls"))
    assert found[0] == pytest.approx(expected, abs=1e-5)


def test_a_unified_model_with_references_averages_three_passes(tmp_path: Path) -> None:
    folder = save_comet(tmp_path, "unified_metric")
    pairs = load(folder)
    with_source = pairs.score([CometInput(source="one", translation="eins")])[0]
    with_reference = pairs.score([CometInput(source="zwei", translation="eins")])[0]
    with_both = head_by_hand(folder, by_hand(folder, [0, 7, 2, 2, 4, 2, 2, 8, 2], pool="cls"))
    hparams = folder / "hparams.yaml"
    hparams.write_text(hparams.read_text().replace("[mt, src]", "[mt, src, ref]"))
    metric = load(folder)
    assert metric.needs_reference
    found = metric.score([CometInput(source="one", translation="eins", reference="zwei")])
    assert found[0] == pytest.approx((with_source + with_reference + with_both) / 3, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_depend_neither_on_batches_nor_on_company(tmp_path: Path, kind: str) -> None:
    folder = save_comet(tmp_path, kind)
    inputs = [
        CometInput(source="one " * num, translation="drei eins " * (5 - num), reference="zwei " * num)
        for num in range(1, 5)
    ]
    alone = np.concatenate([load(folder).score([one]) for one in inputs])
    assert np.ptp(alone) > 0.01
    assert load(folder, batch_size=3).score(inputs) == pytest.approx(alone, abs=1e-5)
    assert load(folder, batch_size=3).score(inputs[::-1])[::-1] == pytest.approx(alone, abs=1e-5)


def test_a_group_costs_one_encode_for_its_source_and_one_for_its_reference(tmp_path: Path) -> None:
    metric = load(save_comet(tmp_path, "regression_metric"))
    translations = ["eins", "zwei", "drei", "eins"]
    with count_encoded() as calls:
        metric.score([CometInput(source="one two", translation=text, reference="eins zwei") for text in translations])
    assert sum(calls) == 3 + 2


def test_an_input_that_is_too_long_is_refused_and_not_cut(tmp_path: Path) -> None:
    metric = load(save_comet(tmp_path, "referenceless_regression_metric"))
    longest = CometInput(source="one " * 18, translation="eins")  # 18 tokens and two special ones
    longer = CometInput(source="one", translation="eins " * 19)
    assert metric.fits([longest, longer]) == [True, False]
    assert np.isfinite(metric.score([longest])).all()
    with raised(ValueError, "input 1 ", " 20 "):
        metric.score([longest, longer])


def test_of_a_unified_model_the_pair_must_fit_together(tmp_path: Path) -> None:
    metric = load(save_comet(tmp_path, "unified_metric"))
    longest = CometInput(source="one " * 9, translation="eins " * 9)  # 18 tokens and four special ones
    longer = CometInput(source="one " * 9, translation="eins " * 10)
    assert metric.fits([longest, longer]) == [True, False]
    assert np.isfinite(metric.score([longest])).all()


def test_a_missing_reference_is_refused(tmp_path: Path) -> None:
    metric = load(save_comet(tmp_path, "regression_metric"))
    with raised(ValueError, "input 0 "):
        metric.score([CometInput(source="one", translation="eins")])


def test_no_input_gives_no_score(tmp_path: Path) -> None:
    assert load(save_comet(tmp_path, "unified_metric")).score([]).shape == (0,)


def test_in_half_precision_the_head_stays_in_full(tmp_path: Path) -> None:
    folder = save_comet(tmp_path, "referenceless_regression_metric")
    one = [CometInput(source="one two", translation="eins zwei")]
    full, half = load(folder), load(folder, dtype="bfloat16")
    assert half.score(one) == pytest.approx(full.score(one), abs=0.3)
    assert half.fingerprint != full.fingerprint
    # A score in bfloat16 would be one of its numbers: eight bits of mantissa, so 16 zero bits at the end in float32.
    assert np.float32(half.score(one)[0]).view(np.uint32) & 0xFFFF != 0


def test_the_fingerprint_is_that_of_the_files(tmp_path: Path) -> None:
    folder = save_comet(tmp_path, "referenceless_regression_metric")
    first = load(folder).fingerprint
    assert load(folder, batch_size=7).fingerprint == first
    hparams = folder / "hparams.yaml"
    hparams.write_text(hparams.read_text().replace("transformation: softmax", "transformation: sparsemax"))
    assert load(folder).fingerprint != first


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    folder = save_comet(tmp_path, "referenceless_regression_metric", more="final_activation: Tanh\n")
    (folder / "hparams.yaml").write_text(
        (folder / "hparams.yaml").read_text().replace("hidden_sizes: [5]", "hidden_sizes: [5, 4]")
    )
    with raised(ValueError, "head.6.bias, head.6.weight", "head.3.bias"):
        load(folder)


def test_a_missing_encoder_is_refused_with_the_key_that_names_one(tmp_path: Path) -> None:
    folder = save_comet(tmp_path, "referenceless_regression_metric")
    with raised(ValueError, "comet.encoder", str(tmp_path / "no" / "such")):
        load_comet(str(folder), encoder=str(tmp_path / "no" / "such"), cache_folder=tmp_path)
    with raised(ValueError, "pretrained_model", "comet.encoder"):
        load_comet(str(folder), cache_folder=tmp_path)
