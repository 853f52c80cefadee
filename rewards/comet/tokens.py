"""Load the tokenizer of an XLM-R encoder and turn texts into token ids.

tokenizer.json is used as it is. transformers 5 builds some tokenizers anew from their vocabulary and then leaves out
how the file normalises text. That changes tokens, and with them scores, without any message.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from contracts.model_names import name_and_revision
from contracts.user_files import guarded

TokenIds = tuple[int, ...]

_FILE = "tokenizer.json"
_SPACE = "▁"


class SegmentTokenizer:
    """Turn texts into token ids, without truncation and without special tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take a tokenizer and find its special tokens.

        Raises:
            ValueError: it lacks a special token of XLM-R.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.begin, self.end, self.pad = (self._id(token) for token in ("<s>", "</s>", "<pad>"))
        self.fingerprint = hashlib.sha256(tokenizer.to_str().encode("utf-8", "backslashreplace")).hexdigest()[:16]

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the ids of each text, in order, without special tokens."""
        return [tuple(found.ids) for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def _id(self, token: str) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise ValueError(f"the encoder's tokenizer has no token {token}; it is not the one of an XLM-R")
        return token_id


def load_tokenizer(folder_or_name: str) -> SegmentTokenizer:
    """Load a tokenizer from tokenizer.json, or from the sentencepiece model where there is no such file.

    Raises:
        ValueError: neither can be loaded, or it is not the tokenizer of an XLM-R.
    """
    try:
        if path := _find_file(folder_or_name):
            with guarded(f"{path} is no tokenizer", key="comet.encoder", way_out="download or copy the encoder again"):
                loaded = Tokenizer.from_file(str(path))
            return SegmentTokenizer(loaded)
        name, revision = name_and_revision(folder_or_name)
        found = AutoTokenizer.from_pretrained(name, revision=revision)
    except (HfHubHTTPError, HFValidationError, OSError, ImportError) as error:
        raise ValueError(
            f"the encoder's tokenizer {folder_or_name!r} can't be loaded ({type(error).__name__}); name a local folder "
            "with its config.json and tokenizer in comet.encoder"
        ) from error
    if not isinstance(found, PreTrainedTokenizerFast):
        raise ValueError(f"{folder_or_name} has a {type(found).__name__}; it is not the tokenizer of an XLM-R")
    if not found.get_vocab().keys() - set(found.all_special_tokens) - {_SPACE}:  # made of a config.json alone
        raise ValueError(
            f"{folder_or_name} has no tokenizer; it needs {_FILE} or sentencepiece.bpe.model beside its config.json"
        )
    return SegmentTokenizer(found.backend_tokenizer)


def _find_file(folder_or_name: str) -> Path | None:
    folder = Path(folder_or_name).expanduser()
    if folder.is_dir():
        return folder / _FILE if (folder / _FILE).is_file() else None
    try:
        name, revision = name_and_revision(folder_or_name)
        return Path(hf_hub_download(name, _FILE, revision=revision))
    except EntryNotFoundError:
        return None
