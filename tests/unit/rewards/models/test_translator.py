"""Test the translator on a tiny random model with NLLB's tokenizer class: codes, batches, segments, limits.

A random model says nothing that anyone could read: what is held here is that it is fed as transformers would feed it.
"""

from pathlib import Path
from unittest import TestCase

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from rewards.models.translator import Seq2SeqTranslator
from tests.models.tiny_translator import NLLB_CODES, POSITIONS, build_translator
from tests.refusals import raised

TEXT = "Tom hat drei Hunde. Ada hat zwei mehr. Wie viele sind es?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_translator(tmp_path_factory.mktemp("nllb"), NLLB_CODES, seed=0)


@pytest.fixture(scope="module")
def translator(folder: Path) -> Seq2SeqTranslator:
    return load(folder)


def load(folder: Path, *, batch_size: int = 4, max_tokens: int = 40, cache_size: int = 100) -> Seq2SeqTranslator:
    return Seq2SeqTranslator(
        str(folder), batch_size=batch_size, max_tokens=max_tokens, dtype="float32", device="cpu", cache_size=cache_size
    )


def by_transformers(folder: Path, sentence: str, *, source: str, target: str) -> str:
    """Tokenize as transformers' documentation says: the tokenizer adds what the source language needs."""
    tokenizer = AutoTokenizer.from_pretrained(folder, src_lang=source)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    inputs = tokenizer(sentence, return_tensors="pt")
    room = min(2 * inputs["input_ids"].shape[1] + 16, POSITIONS - 2)
    drawn = model.generate(
        **inputs,
        forced_bos_token_id=tokenizer.convert_tokens_to_ids(target),
        max_length=None,
        max_new_tokens=room,
        num_beams=1,
    )
    return tokenizer.decode(drawn[0], skip_special_tokens=True).strip()


def test_each_sentence_is_translated_as_transformers_would(folder: Path, translator: Seq2SeqTranslator) -> None:
    sentences = ("Tom hat drei Hunde.", "Ada hat zwei mehr.", "Wie viele sind es?")
    expected = [by_transformers(folder, sentence, source="deu_Latn", target="eng_Latn") for sentence in sentences]
    assert len(set(expected)) == 3
    assert translator.translate([TEXT], source="de", target="en") == [" ".join(expected)]


def test_both_languages_matter(translator: Seq2SeqTranslator) -> None:
    pairs = (("de", "en"), ("es", "en"), ("de", "es"))
    assert len({translator.translate([TEXT], source=source, target=target)[0] for source, target in pairs}) == 3


def test_texts_come_back_in_order_whatever_shares_a_batch(folder: Path) -> None:
    texts = ["Drei Hunde sind da und noch viele mehr.", "Ja.", TEXT, "Nein, nur zwei."]
    together = load(folder).translate(texts, source="de", target="en")
    alone = [load(folder, batch_size=1).translate([text], source="de", target="en")[0] for text in texts]
    assert together == alone


def test_lines_stay_lines_and_formulas_stay_as_they_are(translator: Seq2SeqTranslator) -> None:
    (found,) = translator.translate(["Drei plus vier.\n\n3 + 4 = 7\n๓ + ๔ = ๗"], source="de", target="en")
    assert found.split("\n")[1:] == ["", "3 + 4 = 7", "3 + 4 = 7"]
    assert translator.translate(["", " \n"], source="de", target="en") == ["", ""]


def test_a_segment_is_translated_once_while_it_is_remembered(folder: Path) -> None:
    translator = load(folder, cache_size=2)
    translator.translate(["Ja. Nein. Ja.", "Ja."], source="de", target="en")
    assert (translator.stats.num_texts, translator.stats.num_segments) == (2, 2)
    translator.translate(["Nein. Ja."], source="de", target="en")
    assert translator.stats.num_segments == 2
    translator.translate(["Ja."], source="es", target="en")  # another language is another text
    assert translator.stats.num_segments == 3
    translator.translate(["Nein. Ja."], source="de", target="en")  # the cache holds two: one was forgotten
    assert translator.stats.num_segments == 4


def test_a_sentence_over_the_limit_is_cut_and_all_of_it_is_translated(folder: Path) -> None:
    # A token a character, and one in front: words of 9 tokens, limit 20: two words fit, three do not.
    long = " ".join(["achtmalx"] * 6)
    translator = load(folder, max_tokens=20)
    (found,) = translator.translate([long], source="de", target="en")
    assert translator.stats.num_segments == 1  # three parts alike
    part = load(folder, max_tokens=20).translate(["achtmalx achtmalx"], source="de", target="en")[0]
    assert found == " ".join([part] * 3)


def test_a_translation_without_an_end_is_counted_and_logged(folder: Path) -> None:
    translator = load(folder)
    with TestCase().assertLogs("rewards.models.translator", "WARNING") as logs:
        translator.translate(["Drei Hunde und vier Katzen.", "Ja."], source="de", target="en")
    assert translator.stats.num_unfinished > 0
    assert len(logs.records) == 1


def test_a_language_that_the_model_does_not_know_is_refused(translator: Seq2SeqTranslator) -> None:
    with raised(ValueError, "'te'", "tel_Telu", "__te__"):
        translator.translate(["x"], source="te", target="en")


def test_codes_of_m2m_100_are_found(tmp_path: Path) -> None:
    translator = load(build_translator(tmp_path, ("__en__", "__de__"), seed=0))
    assert translator.translate([TEXT], source="de", target="en") != [""]


def test_a_model_without_language_codes_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    with raised(ValueError, "'en'", "eng_Latn", "__en__"):
        load(build_translator(tmp_path, ("<x>",), seed=0))


def test_fingerprint_is_of_the_weights_and_the_limit_and_not_of_the_folder(folder: Path, tmp_path: Path) -> None:
    same = load(build_translator(tmp_path / "same", NLLB_CODES, seed=0)).fingerprint
    assert load(folder).fingerprint == same
    assert load(build_translator(tmp_path / "other", NLLB_CODES, seed=1)).fingerprint != same
    assert load(folder, max_tokens=30).fingerprint != same
