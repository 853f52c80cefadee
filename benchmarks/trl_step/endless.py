"""A copy of a model whose responses always have the longest length: its end of sequence is a token that nobody draws.

Owns the folder's files. Both sides load it, so neither pays for holding the end back, and both draw exactly as many
tokens.
"""

import json
from pathlib import Path

SPARE_TOKEN = "<repo_name>"
"""Special in SmolLM2's tokenizer, and left over from another training."""


def make_endless(model: Path, folder: Path, *, spare_token: str = SPARE_TOKEN) -> Path:
    """Fill `folder` with links to the model's files, and with settings of its own.

    Raises:
        ValueError: the tokenizer has no such token.
    """
    tokens = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    ids = [token["id"] for token in tokens if token["content"] == spare_token]
    if not ids:
        raise ValueError(f"{model} has no token {spare_token!r} to end sequences with; use SmolLM2-135M-Instruct")
    changes: dict[str, dict[str, object]] = {
        "config.json": {"eos_token_id": ids[0]},
        "generation_config.json": {"eos_token_id": ids[0]},
        "tokenizer_config.json": {"eos_token": spare_token},
    }
    for file in model.iterdir():
        if file.name in changes:
            settings = json.loads(file.read_text(encoding="utf-8")) | changes[file.name]
            (folder / file.name).write_text(json.dumps(settings, indent=2), encoding="utf-8")
        else:
            (folder / file.name).symlink_to(file.resolve())
    return folder
