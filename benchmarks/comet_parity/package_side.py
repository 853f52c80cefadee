"""Build small random checkpoints in the package's own format, and score texts with the package itself.

    .venv-comet/bin/python benchmarks/comet_parity/package_side.py FOLDER [--tokenizer FOLDER]

This program runs in an environment of its own (requirements/comet.txt) and imports nothing of the project. It writes
FOLDER/encoder-*/ and, for every case, FOLDER/<case>/{hparams.yaml, checkpoints/model.ckpt, expected.json}.
"""

import argparse
import json
import logging
import random
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pkg_resources  # without it the package mixes Kiwi's layers in another way, without a warning
import sentencepiece
import torch
import yaml
from comet import load_from_checkpoint
from comet.models import ReferencelessRegression, RegressionMetric, UnifiedMetric
from pytorch_lightning import Trainer
from transformers import XLMRobertaConfig, XLMRobertaTokenizerFast, XLMRobertaXLConfig

CLASSES = {
    "regression_metric": RegressionMetric,
    "referenceless_regression_metric": ReferencelessRegression,
    "unified_metric": UnifiedMetric,
}
SENTENCES = (
    "Roger started with 5 balls, and 2 cans of 3 tennis balls each is 6 tennis balls.",
    "The answer is 11.",
    "Er hat 2 von seiner Mama bekommen, sodass er nun 5 + 2 = 7 Spielzeuge hat.",
    "La réponse est 29 : il reste trois œufs à vendre.",
    "然后他又从爸爸那里得到了 2 个，所以他一共有 9 个玩具。",
    "ステップごとの答え：答えは39個です。",
    "Ответ — 11, потому что у него было пять мячей.",
    "คำตอบคือ 8 เพราะเธอมีเงินเหลือ",
    "উত্তর হল 11।",
    "సమాధానం 11.",
    "Jibu ni 33, kwa sababu walikuwa na chokoleti 74.",
    "الإجابة هي ١٨ دولارًا.",
    "ﬁnally ２ ½  litres…　and\u00a0①",  # characters and spaces that the normalisation changes
)
MAX_POSITIONS = 514  # as XLM-R: 512 tokens of a joint sequence, 510 of a single one


@dataclass(frozen=True)
class Case:
    """Describe one checkpoint: its class, and its hparams beside the shared ones."""

    name: str
    kind: str
    hparams: dict[str, object]
    encoder: str = "small"
    written: dict[str, object] = field(default_factory=dict)  # what hparams.yaml has instead of the checkpoint's values
    with_references: bool = False


CASES = (
    Case(
        "regression, as wmt22-comet-da",
        "regression_metric",
        {"layer_transformation": "sparsemax", "layer_norm": False, "hidden_sizes": [96, 32]},
        with_references=True,
    ),
    Case(
        "regression, softmax and layer norm",
        "regression_metric",
        {"layer_transformation": "softmax", "layer_norm": True, "hidden_sizes": [96, 32], "activations": "Sigmoid"},
        with_references=True,
    ),
    Case(
        "referenceless, as wmt20-comet-qe-da",
        "referenceless_regression_metric",
        {"layer_transformation": "softmax", "layer_norm": True, "hidden_sizes": [64, 32]},
    ),
    Case(
        "referenceless, sparsemax, first token",
        "referenceless_regression_metric",
        {"layer_transformation": "sparsemax", "layer_norm": False, "hidden_sizes": [64], "pool": "cls"},
    ),
    Case(
        "unified, as wmt22-cometkiwi-da",
        "unified_metric",
        {"layer_transformation": "sparsemax", "layer_norm": False, "input_segments": ["mt", "src"]},
        encoder="pieces",
        written={"layer_transformation": "sparsemax_patch", "pool": "avg"},
    ),
    Case(
        "unified, sparsemax, word tags",
        "unified_metric",
        {"layer_transformation": "sparsemax", "layer_norm": False, "input_segments": ["mt", "src"]}
        | {"word_level_training": True, "word_layer": 3, "cross_entropy_weights": [0.1, 0.4, 0.5]},
    ),
    Case(
        "unified, with references",
        "unified_metric",
        {"layer_transformation": "softmax", "layer_norm": True, "input_segments": ["mt", "src", "ref"]},
        with_references=True,
    ),
    Case(
        "unified, XLM-R-XL encoder",
        "unified_metric",
        {"layer_transformation": "softmax", "layer_norm": False, "input_segments": ["mt", "src"]}
        | {"encoder_model": "XLM-RoBERTa-XL"},
        encoder="small-xl",
    ),
)


def main() -> None:
    """Build and score every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--tokenizer", type=Path, help="folder of a real XLM-R tokenizer; without it, a small one is made"
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "comet"):
        logging.getLogger(name).setLevel(logging.ERROR)
    folder = arguments.folder.resolve()
    random.seed(1)
    torch.manual_seed(1)
    print(f"unbabel-comet {pkg_resources.get_distribution('unbabel-comet').version}, torch {torch.__version__}")
    tokenizer = make_tokenizer(arguments.tokenizer, folder)
    save_encoders(tokenizer, folder)
    for case in CASES:
        save_checkpoint(case, folder)
        expected = score(case, folder, tokenizer)
        print(f"  {case.name}: {len(expected)} scores from {min(expected):.4f} to {max(expected):.4f}")


def make_tokenizer(real: Path | None, folder: Path) -> XLMRobertaTokenizerFast:
    """Return a real tokenizer, or train a small one of XLM-R's kind: sentencepiece, unigram, NFKC and more."""
    if real is not None:
        return XLMRobertaTokenizerFast.from_pretrained(real)
    pieces = folder / "encoder-pieces"
    pieces.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_prefix=str(pieces / "sentencepiece.bpe"),
        vocab_size=420,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    (pieces / "sentencepiece.bpe.vocab").unlink()
    (pieces / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    XLMRobertaConfig().save_pretrained(pieces)
    return XLMRobertaTokenizerFast.from_pretrained(pieces)


def save_encoders(tokenizer: XLMRobertaTokenizerFast, folder: Path) -> None:
    """Save three encoders.

    One has tokenizer.json, as xlm-roberta-large; one is the same with pre-norm; one has only sentencepiece's file, as
    infoxlm-large.
    """
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": MAX_POSITIONS,
        "type_vocab_size": 1,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.3,  # large, so that texts differ and a wrong layer is noticed
    }
    XLMRobertaConfig(**shape).save_pretrained(folder / "encoder-small")
    XLMRobertaXLConfig(**shape).save_pretrained(folder / "encoder-small-xl")
    XLMRobertaConfig(**shape).save_pretrained(folder / "encoder-pieces")
    tokenizer.save_pretrained(folder / "encoder-small")
    tokenizer.save_pretrained(folder / "encoder-small-xl")
    if not (folder / "encoder-pieces" / "sentencepiece.bpe.model").is_file():
        tokenizer.save_pretrained(folder / "encoder-pieces")


def save_checkpoint(case: Case, folder: Path) -> None:
    """Save weights with Lightning, as the package's own training does, and hparams.yaml beside them."""
    hparams = {"pretrained_model": str(folder / f"encoder-{case.encoder}"), "local_files_only": True, **case.hparams}
    model = CLASSES[case.kind](**hparams, load_pretrained_weights=False)
    with torch.no_grad():
        for scalar in model.layerwise_attention.scalar_parameters:
            scalar.normal_(std=0.6)
        model.layerwise_attention.gamma.fill_(1.3)
        for parameter in model.estimator.parameters():
            parameter.mul_(4)
    place = folder / case.name / "checkpoints" / "model.ckpt"
    place.parent.mkdir(parents=True)
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(model)
    trainer.save_checkpoint(place, weights_only=True)
    case_file = {"class_identifier": case.kind, **hparams, **case.written}
    (folder / case.name / "hparams.yaml").write_text(yaml.safe_dump(case_file), encoding="utf-8")


def score(case: Case, folder: Path, tokenizer: XLMRobertaTokenizerFast) -> list[float]:
    """Score texts of ragged lengths with the package, all in one call, and save them with their scores."""
    samples = make_samples(tokenizer, is_joint=case.kind == "unified_metric", with_references=case.with_references)
    model = load_from_checkpoint(str(folder / case.name / "checkpoints" / "model.ckpt"), local_files_only=True)
    expected = model.predict(samples, batch_size=5, gpus=0, num_workers=0, progress_bar=False)["scores"]
    case_file = {"encoder": f"encoder-{case.encoder}", "samples": samples, "scores": expected}
    (folder / case.name / "expected.json").write_text(json.dumps(case_file, ensure_ascii=False), encoding="utf-8")
    return expected


def make_samples(tokenizer: XLMRobertaTokenizerFast, *, is_joint: bool, with_references: bool) -> list[dict[str, str]]:
    """Return single sentences, several together, one word, and texts as long as the package reads without cutting."""
    samples: list[dict[str, str]] = []
    for num_sentences in (1, 1, 2, 1, 5, 3, 1, 2):
        texts = [" ".join(random.choices(SENTENCES, k=random.randint(1, num_sentences))) for _ in range(3)]
        samples.append(dict(zip(("src", "mt", "ref"), texts, strict=True)))
    samples.append({"src": "11", "mt": "11", "ref": "11."})
    room = (MAX_POSITIONS - 2 - 7) // 3 if is_joint and with_references else (MAX_POSITIONS - 2 - 4) // 2
    longest = longest_text(tokenizer, room if is_joint else MAX_POSITIONS - 2 - 4)
    samples.append({"src": longest, "mt": longest, "ref": longest})
    samples.append({"src": SENTENCES[0], "mt": longest, "ref": SENTENCES[1]})
    samples.append({"src": SENTENCES[3], "mt": SENTENCES[2], "ref": SENTENCES[2]})
    return samples if with_references else [{"src": one["src"], "mt": one["mt"]} for one in samples]


def longest_text(tokenizer: XLMRobertaTokenizerFast, num_tokens: int) -> str:
    """Return words of at most that many tokens in all."""
    words: list[str] = []
    for word in random.choices(" ".join(SENTENCES).split(), k=num_tokens):
        if len(tokenizer(" ".join([*words, word]), add_special_tokens=False)["input_ids"]) > num_tokens:
            break
        words.append(word)
    return " ".join(words)


if __name__ == "__main__":
    main()
