"""Test that the system's libraries load the models that `python -m quickstart` writes."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer, LlamaForCausalLM

from quickstart import e5, smollm2
from quickstart.__main__ import main
from quickstart.e5_file import dequantise, read_e5_file
from quickstart.folders import build_once, packaged_file
from quickstart.tiny import build_tiny_encoder, build_tiny_model
from tests.refusals import raised

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / ".cache" / "models"


def quickstart_model(name: str) -> Path:
    """Return the folder that `make models` makes; it is made here if a test runs without it."""
    assert main(["--cache", str(MODELS), name]) == 0
    return MODELS / name


def greedy(folder: Path, question: str, *, max_new_tokens: int) -> str:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    drawn = model.generate(  # pyright: ignore[reportAttributeAccessIssue] - its own types don't fit its own model
        **prompt, max_new_tokens=max_new_tokens, do_sample=False
    )
    return tokenizer.decode(drawn[0, prompt["input_ids"].shape[1] :])


def test_smollm2_answers_a_question_and_stops_by_itself() -> None:
    answer = greedy(quickstart_model(smollm2.NAME), "What is the capital of France?", max_new_tokens=40)
    assert "Paris" in answer
    assert answer.endswith("<|im_end|>")


def test_smollm2_adds_two_small_numbers() -> None:
    question = "Tom has 4 apples and buys 5 more. How many apples does he have?"
    assert "9" in greedy(quickstart_model(smollm2.NAME), question, max_new_tokens=60)


def test_smollm2_reads_digits_one_by_one_and_keeps_every_script() -> None:
    tokenizer = AutoTokenizer.from_pretrained(quickstart_model(smollm2.NAME))
    assert tokenizer.tokenize("1234 apples") == ["1", "2", "3", "4", "Ġapples"]
    text = "Schön 东京 ไทย 🙂\n  x"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_e5_puts_a_translation_above_another_text() -> None:
    encoder = SentenceTransformer(str(quickstart_model(e5.NAME)), device="cpu")
    english, german, thai, other = encoder.encode(
        [
            "query: The farmer has 12 apples and sells 5 of them.",
            "query: Der Bauer hat 12 Äpfel und verkauft 5 davon.",
            "query: เกษตรกรมีแอปเปิ้ล 12 ลูก และขายไป 5 ลูก",
            "query: Yesterday the parliament voted on the new tax law.",
        ]
    )
    assert np.linalg.norm(english) == pytest.approx(1, abs=1e-5)
    assert english @ german > 0.9
    assert english @ thai > 0.87
    assert english @ other < 0.82


def test_e5_tokenizes_as_xlm_roberta_does() -> None:
    """The ids of "query: " and of the specials are XLM-RoBERTa's; full-width, doubled and odd spaces vanish."""
    tokenizer = AutoTokenizer.from_pretrained(quickstart_model(e5.NAME))
    plain = tokenizer("query: 12 apples")["input_ids"]
    assert plain[:4] == [0, 41, 1294, 12]
    assert plain[-1] == 2
    assert tokenizer("query:\u200b １２ \n apples ")["input_ids"] == plain


def test_tiny_models_are_the_same_every_time(tmp_path: Path) -> None:
    for build in (build_tiny_model, build_tiny_encoder):
        first, second = build(tmp_path / f"{build.__name__}-1"), build(tmp_path / f"{build.__name__}-2")
        assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
        assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()


def test_tiny_models_load_and_speak(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "tiny")
    model = LlamaForCausalLM.from_pretrained(folder)
    assert model.num_parameters() < 1_000_000
    assert model.generation_config.eos_token_id == AutoTokenizer.from_pretrained(folder).eos_token_id == 2
    assert greedy(folder, "Привет, wie viel ist 2 + 2?", max_new_tokens=5)
    vectors = SentenceTransformer(str(build_tiny_encoder(tmp_path / "encoder")), device="cpu").encode(["a", "b"])
    assert vectors.shape == (2, 64)


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("a model")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_once(tmp_path / "model", fails)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    assert build_once(folder, lambda made: (made / "one").touch())
    assert not build_once(folder, lambda made: (made / "two").touch())
    assert [path.name for path in folder.iterdir()] == ["one"]


def test_a_missing_package_is_named_with_the_remedy() -> None:
    with raised(FileNotFoundError, "no_such_package", "make install"):
        packaged_file("no_such_package", "weights.bin")


def test_four_bit_blocks_are_read_low_nibbles_first() -> None:
    """Scale 0.5; byte 0 is 0xF0: weight 0 is (0 - 8) / 2 = -4, weight 16 is (15 - 8) / 2 = 3.5; the rest is 8: zero."""
    weights = dequantise(struct.pack("<e", 0.5) + bytes([0xF0]) + bytes([0x88] * 15))
    assert weights.tolist() == [-4.0, *[0.0] * 15, 3.5, *[0.0] * 15]


def test_a_file_that_is_no_e5_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"GGUF" + bytes(100))
    with raised(ValueError, "GGUF"):
        read_e5_file(path)
