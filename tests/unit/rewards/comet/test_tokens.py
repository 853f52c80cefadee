"""Test which tokenizer is loaded for an encoder, and what is refused."""

from pathlib import Path

import pytest

from rewards.comet.tokens import load_tokenizer


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        load_tokenizer(str(tmp_path))
