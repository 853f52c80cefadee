"""Build a tiny random translation model with the tokenizer of NLLB."""

import string
from pathlib import Path

import torch
from transformers import M2M100Config, M2M100ForConditionalGeneration
from transformers.models.nllb.tokenization_nllb import NllbTokenizer

POSITIONS = 64


NLLB_CODES = ("eng_Latn", "deu_Latn", "spa_Latn", "tha_Thai")


def build_translator(folder: Path, codes: tuple[str, ...], *, seed: int) -> Path:
    """Save a model of two layers over single characters, with the language codes of a family, and return its folder."""
    characters = ["<s>", "<pad>", "</s>", "<unk>", "▁", *string.ascii_letters, *string.digits, *".,?!+="]
    tokenizer = NllbTokenizer(
        vocab={character: index for index, character in enumerate(characters)},
        merges=[],
        extra_special_tokens=list(codes),
        src_lang=codes[0],
    )
    torch.manual_seed(seed)
    config = M2M100Config(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        init_std=0.5,
    )
    tokenizer.save_pretrained(folder)
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    return folder
