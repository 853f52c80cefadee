"""Test exported folders of models with one peculiarity each: what a learner's rank 0 writes can be loaded."""

import json
import multiprocessing
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from actors.learning.rank_setup import RankPlace
from contracts.errors import BadInput, CheckpointFailed
from quickstart.tiny import CHAT_TEMPLATE, build_tiny_model
from tests.integration.programs.learner_ranks import Job, make_samples, packed

if TYPE_CHECKING:
    from actors.learning.weight_source import ZeroWeightSource  # which imports DeepSpeed

# A family of its own that transformers doesn't know: its code lies beside its weights.
OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM


class OwnConfig(LlamaConfig):
    model_type = "own_family"


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Describe a model folder, where its export goes, and how it is exported."""

    model: Path
    folder: Path
    dtype: str = "float32"
    trust_remote_code: bool = False
    chat_template: str = ""


def export(cases: list[Case]) -> None:
    """Export as the one rank of a learner does; DeepSpeed is not loaded into the tests' own process."""
    from actors.learning.weight_source import ZeroWeightSource

    for case in cases:
        causal = AutoModelForCausalLM.from_pretrained(
            case.model, dtype=getattr(torch, case.dtype), trust_remote_code=case.trust_remote_code
        )
        try:
            source = ZeroWeightSource(
                causal,
                model=str(case.model),
                rank=0,
                max_bucket_bytes=100_000,
                trust_remote_code=case.trust_remote_code,
            )
        except BadInput as refusal:
            case.folder.with_suffix(".refused").write_text(str(refusal), encoding="utf-8")
        else:
            source.export(case.folder, chat_template=case.chat_template)
            if case.trust_remote_code:
                loaded = load(case.folder, trust_remote_code=True)
                torch.save((type(loaded).__name__, loaded.state_dict()), case.folder / "loaded.pt")


def learn(model: Path, folder: Path) -> None:
    """Take one step of a whole learner rank on a model with code of its own, and export it after that."""
    from actors.learning.rank import LearnerRank

    setup = Job(model=model, num_ranks=1).setup()
    trusting = replace(setup, policy=replace(setup.policy, trust_remote_code=True))
    place = RankPlace(rank=0, world_size=1, meeting="", device="cpu")
    rank = LearnerRank(trusting, place)
    batch = packed(make_samples(num_samples=2), num_ranks=1)
    report = rank.step(batch.rows[0], num_loss_tokens=batch.num_loss_tokens, num_sequences=batch.num_sequences)
    rank.export(folder)
    (folder / "report.json").write_text(json.dumps(dict(report.metrics)), encoding="utf-8")
    rank.close()


WEIGHTS_LIMIT = 100_000  # bytes that a file may have; the tiny model's weights are larger


def export_to_full_disks(model: Path, folder: Path) -> None:
    """Try three exports that can't be written, each noticed by another library, and one that can."""
    from actors.learning.weight_source import ZeroWeightSource

    source = ZeroWeightSource(
        AutoModelForCausalLM.from_pretrained(model), model=str(model), rank=0, max_bucket_bytes=100_000
    )
    told = {name: failure_of(source, folder / name) for name in ("tokenizer", "in-the-way")}
    resource.setrlimit(resource.RLIMIT_FSIZE, (WEIGHTS_LIMIT, resource.RLIM_INFINITY))
    told["weights"] = failure_of(source, folder / "weights")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    source.export(folder / "room")
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


def failure_of(source: "ZeroWeightSource", folder: Path) -> str:
    with pytest.raises(CheckpointFailed) as failure:
        source.export(folder)
    return str(failure.value)


def in_a_process(modules: Path, work: Callable[..., None], *arguments: object) -> None:
    """Run in a process; `modules` is where a model's own code is copied when it is loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_MODULES_CACHE", str(modules))
        patch.setenv("DS_ACCELERATOR", "cpu")
        process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
        process.start()
        process.join()
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def exports(tiny: Path) -> dict[str, Case]:
    """Name of a case -> what was exported, all by one process."""
    folder = tiny.parent
    cases = {
        "half precision": Case(model=tiny, folder=folder / "half", dtype="bfloat16"),
        "own template": Case(model=tiny, folder=folder / "template", chat_template="{{ messages[0]['content'] }}"),
        "samples": Case(model=variant(tiny, "samples", {"temperature": 0.6, "top_p": 0.9}), folder=folder / "sampled"),
        "odd": Case(model=variant(tiny, "odd", {"pad_token_id": -1}), folder=folder / "oddly"),
        "own code": Case(model=with_own_code(tiny), folder=folder / "coded", trust_remote_code=True),
    }
    in_a_process(folder / "modules", export, list(cases.values()))
    return cases


def variant(tiny: Path, name: str, generation: dict[str, float]) -> Path:
    """Write the tiny model with another generation config, by hand as published ones are."""
    folder = copied(tiny, name, load(tiny))
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | generation), encoding="utf-8")
    return folder


def with_own_code(tiny: Path) -> Path:
    folder = copied(tiny, "own-code", load(tiny))
    (folder / "own_family.py").write_text(OWN_CODE, encoding="utf-8")
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {
        "model_type": "own_family",
        "architectures": ["OwnForCausalLM"],
        "auto_map": {"AutoConfig": "own_family.OwnConfig", "AutoModelForCausalLM": "own_family.OwnForCausalLM"},
        "attention_dropout": 0.25,
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def copied(tiny: Path, name: str, causal: PreTrainedModel) -> Path:
    folder = tiny.parent / name
    causal.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    return folder


def load(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=trust_remote_code)


def assert_same_weights(exported: PreTrainedModel, original: PreTrainedModel) -> None:
    expected = dict(original.named_parameters())
    assert [name for name, _ in exported.named_parameters()] == list(expected)
    for name, tensor in exported.named_parameters():
        torch.testing.assert_close(tensor.detach(), expected[name].detach(), rtol=0, atol=0, check_dtype=False)


def test_weights_keep_the_learners_dtype_and_the_tokenizer_its_template(exports: dict[str, Case], tiny: Path) -> None:
    exported = load(exports["half precision"].folder)
    assert exported.dtype == torch.bfloat16
    assert_same_weights(exported, load(tiny))
    tokenizer = AutoTokenizer.from_pretrained(exports["half precision"].folder)
    assert tokenizer.chat_template == CHAT_TEMPLATE
    text = "Anna hat 12 Äpfel."
    assert tokenizer.encode(text) == AutoTokenizer.from_pretrained(tiny).encode(text)


def test_a_given_template_goes_along_instead_of_the_tokenizers_own(exports: dict[str, Case]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(exports["own template"].folder)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hallo"}], tokenize=False) == "Hallo"


def test_a_temperature_without_sampling_is_exported_as_sampling(exports: dict[str, Case]) -> None:
    settings = load(exports["samples"].folder).generation_config
    assert settings is not None
    assert (settings.do_sample, settings.temperature, settings.top_p) == (True, 0.6, 0.9)


def test_a_generation_config_that_could_not_be_written_is_refused_when_the_learner_starts(
    exports: dict[str, Case],
) -> None:
    case = exports["odd"]
    refusal = case.folder.with_suffix(".refused").read_text(encoding="utf-8")
    assert refusal.startswith(f"policy.model {case.model}:")
    assert "pad_token_id" in refusal
    assert "\n" not in refusal
    assert not case.folder.exists()


def test_a_model_with_code_of_its_own_takes_it_along(exports: dict[str, Case], tiny: Path) -> None:
    folder = exports["own code"].folder
    assert (folder / "own_family.py").read_text(encoding="utf-8") == OWN_CODE
    name, weights = torch.load(folder / "loaded.pt")
    assert name == "OwnForCausalLM"
    expected = load(tiny).state_dict()
    assert weights.keys() == expected.keys()
    for key, tensor in weights.items():
        torch.testing.assert_close(tensor, expected[key], rtol=0, atol=0, check_dtype=False)


def test_a_model_with_code_of_its_own_learns_and_is_exported(tiny: Path, tmp_path: Path) -> None:
    model = with_own_code(tiny)
    in_a_process(tmp_path / "modules", learn, model, tmp_path / "learned")
    report = json.loads((tmp_path / "learned" / "report.json").read_text(encoding="utf-8"))
    assert report["policy/grad_norm"] > 0  # a skipped step has none
    assert (tmp_path / "learned" / "own_family.py").read_text(encoding="utf-8") == OWN_CODE
    exported = load_file(tmp_path / "learned" / "model.safetensors")
    before = load_file(model / "model.safetensors")
    assert exported.keys() == before.keys()
    assert all(not torch.equal(tensor, before[name]) for name, tensor in exported.items())
    config = json.loads((tmp_path / "learned" / "config.json").read_text(encoding="utf-8"))
    assert config["attention_dropout"] == 0.25  # switched off in the learner only


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_an_export_that_could_not_be_written_is_a_failed_checkpoint_that_names_its_folder(
    tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").symlink_to("/dev/full")
    (tmp_path / "in-the-way").write_text("a file", encoding="utf-8")
    in_a_process(tmp_path / "modules", export_to_full_disks, tiny, tmp_path)
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    whys = {"tokenizer": "No space left on device", "in-the-way": "File exists", "weights": "File too large"}
    for name, why in whys.items():
        assert told[name].startswith(f"{tmp_path / name}: ") and "\n" not in told[name]
        assert why in told[name]
    assert (tiny / "model.safetensors").stat().st_size > WEIGHTS_LIMIT
    assert_same_weights(load(tmp_path / "room"), load(tiny))
