"""Build random models with less than a million parameters, which real engines load in a second.

They serve integration tests and a first run of a new cluster, where only the system is tested.
"""

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from quickstart.folders import build_once

SEED = 20250929
VOCABULARY = 512
POSITIONS = 1024
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SENTENCES = (
    "Anna has 12 apples and gives 5 of them to Ben. How many apples does she have left? Think step by step.",
    "Step-by-step answer: 12 - 5 = 7. The answer is 7.",
    "Anna hat 12 Äpfel und gibt Ben 5 davon. Wie viele Äpfel hat sie noch? Schritt für Schritt. Die Antwort ist 7.",
    "Anna a 12 pommes et en donne 5 à Ben. Combien de pommes lui reste-t-il ? Étape par étape. La réponse est 7.",
    "Anna tiene 12 manzanas y le da 5 a Ben. ¿Cuántas manzanas le quedan? Paso a paso. La respuesta es 7.",
    "Anna ana tufaha 12 na anampa Ben 5. Amebakiwa na matufaha mangapi? Hatua kwa hatua. Jibu ni 7.",
    "У Анны 12 яблок, 5 из них она отдаёт Бену. Сколько яблок у неё осталось? Шаг за шагом. Ответ: 7.",
    "安娜有12个苹果，给了本5个。她还剩几个苹果？逐步解答。答案是 7。",
    "アンナはりんごを12個持っていて、ベンに5個あげました。残りは何個ですか？答えは7です。",
)


def build_tiny_model(folder: Path) -> Path:
    """Build a Llama of 0.4 million random parameters with a chat template, once, and the same every time."""
    build_once(folder, _write_tiny_model)
    return folder


def build_tiny_encoder(folder: Path) -> Path:
    """Build a random BERT as a sentence-transformers folder, once, and the same every time."""
    build_once(folder, _write_tiny_encoder)
    return folder


def _write_tiny_model(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    pad, bos, eos = (SPECIAL.index(token) for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
        dtype=torch.bfloat16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = LlamaForCausalLM(config).bfloat16()
    model.generation_config = GenerationConfig(bos_token_id=bos, eos_token_id=eos, pad_token_id=pad)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_tiny_encoder(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=POSITIONS,
        pad_token_id=SPECIAL.index("<|endoftext|>"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    modules = [Transformer(str(folder), max_seq_length=POSITIONS), Pooling(64, pooling_mode="mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, which encodes and decodes text of any script without loss."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(SENTENCES, trainer=trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
