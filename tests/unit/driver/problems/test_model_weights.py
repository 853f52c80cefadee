"""Weight files and tokenizers of a local folder that are missing or damaged are refused before anything starts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from transformers import Qwen2Config, XLMRobertaConfig

from cluster.estimate.shapes import num_parameters
from driver.problems.engine_prompts import check_context
from driver.problems.model_weights import check_weights
from driver.problems.prompts import load_tokenizer, plain_tokenizer
from quickstart.tiny import tiny_tokenizer
from rewards.comet.tokens import load_tokenizer as load_comet_tokenizer
from tests.refusals import refused

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    for number, shard in enumerate(SHARDS):
        save_file({f"layer.{number}.weight": np.ones((64, 64), np.float32)}, tmp_path / shard)
    weight_map = {f"layer.{number}.weight": shard for number, shard in enumerate(SHARDS)}
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")
    return tmp_path


def test_whole_weights_pass(sharded: Path) -> None:
    check_weights(str(sharded), key="policy.model")
    check_weights("someone/some-model", key="policy.model")
    assert num_parameters(str(sharded)) == 2 * 64 * 64


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / SHARDS[1]).unlink()
    with refused("policy.model", SHARDS[1], INDEX):
        check_weights(str(sharded), key="policy.model")


def test_a_tensor_that_its_shard_lacks_is_named(sharded: Path) -> None:
    save_file({"other": np.ones(3, np.float32)}, sharded / SHARDS[1])
    with refused("policy.model", SHARDS[1], "layer.1.weight"):
        check_weights(str(sharded), key="policy.model")


@pytest.mark.parametrize("kept", [0, 5, 8, 40, 5000, -1])
def test_a_truncated_shard_is_refused_by_its_file(sharded: Path, kept: int) -> None:
    path = sharded / SHARDS[1]
    path.write_bytes(path.read_bytes()[:kept])
    with refused("critic.model", str(path)):
        check_weights(str(sharded), key="critic.model")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content[:8] + b"[" * 60 + content[68:],
        lambda content: content[:8] + b"\xff" * 60 + content[68:],
    ],
)
def test_a_shard_that_is_no_safetensors_file_is_refused(sharded: Path, damage: Callable[[bytes], bytes]) -> None:
    path = sharded / SHARDS[0]
    path.write_bytes(damage(path.read_bytes()))
    with refused("policy.model", str(path)):
        check_weights(str(sharded), key="policy.model")
    with refused(path.name, str(path)):
        num_parameters(str(sharded))


def test_a_folder_in_place_of_a_shard_is_refused(sharded: Path) -> None:
    (sharded / SHARDS[0]).unlink()
    (sharded / SHARDS[0]).mkdir()
    with refused("policy.model", SHARDS[0]):
        check_weights(str(sharded), key="policy.model")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "[" * 100_000])
def test_a_damaged_index_is_refused_by_its_file(sharded: Path, content: str) -> None:
    (sharded / INDEX).write_text(content, encoding="utf-8")
    with refused("pivot.model", INDEX):
        check_weights(str(sharded), key="pivot.model")


def test_a_context_that_yarn_extends_is_accepted_up_to_its_length(tmp_path: Path) -> None:
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    facts = {"max_position_embeddings": 64, "rope_scaling": rope}
    (tmp_path / "config.json").write_text(json.dumps(facts), encoding="utf-8")
    check_context(str(tmp_path), 256, section="policy", context="policy")
    with refused("policy.max_model_len", "257", "256"):
        check_context(str(tmp_path), 257, section="policy", context="policy")


# --- tokenizers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    tiny_tokenizer().save_pretrained(str(folder))
    Qwen2Config(vocab_size=512).save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"model": {}}',
        b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["x", "y"]]}}',
        b'{"version": "1.0", "model": {"type": "Nothing"}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_tokenizer_is_refused_by_its_key(policy: Path, content: bytes) -> None:
    plain_tokenizer(str(policy), trust_remote_code=False, section="policy")
    (policy / "tokenizer.json").write_bytes(content)
    with refused("policy.model", str(policy)):
        load_tokenizer(str(policy), chat_template=None, trust_remote_code=False, section="policy")


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"tokenizer_class": 3}', b'{"added_tokens_decoder": {"a": 1}}'])
def test_damaged_settings_of_a_tokenizer_are_refused_by_their_key(policy: Path, content: bytes) -> None:
    (policy / "tokenizer_config.json").write_bytes(content)
    with refused("pivot.model", str(policy)):
        plain_tokenizer(str(policy), trust_remote_code=False, section="pivot")


@pytest.mark.parametrize("config", [Qwen2Config, XLMRobertaConfig])
def test_a_folder_without_a_tokenizer_is_refused(
    tmp_path: Path, config: type[Qwen2Config] | type[XLMRobertaConfig]
) -> None:
    config().save_pretrained(str(tmp_path))
    with refused("policy.model", str(tmp_path)):
        plain_tokenizer(str(tmp_path), trust_remote_code=False, section="policy")
    with pytest.raises(ValueError, match="tokenizer") as caught:
        load_comet_tokenizer(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_template_that_is_no_text_is_refused(policy: Path, tmp_path: Path) -> None:
    path = tmp_path / "template.jinja"
    for make in (lambda: path.write_bytes(b"\xff\xff"), lambda: (path.unlink(), path.mkdir())):
        make()
        with refused("policy.chat_template", str(path)):
            load_tokenizer(str(policy), chat_template=str(path), trust_remote_code=False)
    shutil.rmtree(path)
    with refused("policy.chat_template", str(path)):
        load_tokenizer(str(policy), chat_template=str(path), trust_remote_code=False)
