"""Configs and overrides beyond what Python or TOML can hold end in one line about their key."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.config.load import load_config
from languages.files import LanguageFileError, read_language
from tests.refusals import refused

QUICKSTART = Path(__file__).parents[4] / "configs" / "quickstart.toml"
DIGITS = "9" * 5000
HOSTILE = {
    "digits": f"[algorithm]\nsteps = {DIGITS}\n".encode(),
    "hex digits": f"[algorithm]\nsteps = 0x{DIGITS}\n".encode(),
    "nested lists": b"a = " + b"[" * 20_000 + b"]" * 20_000,
    "nested tables": b"a = " + b"{a = " * 20_000 + b"1" + b"}" * 20_000,
    "dotted keys": b".".join([b"a"] * 20_000) + b" = 1",
    "dotted header": b"[" + b".".join([b"a"] * 20_000) + b"]\n",
    "binary": bytes(range(256)),
    "utf-16": "[run]\nname = 'x'\n".encode("utf-16"),
    "zero byte": b"[run]\nname = 'a\x00b'\n",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_config_is_refused_by_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with refused(str(path), str(path)):
        load_config(path)


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_language_file_is_refused_by_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "language.toml"
    path.write_bytes(content)
    with pytest.raises(LanguageFileError, match=r"language\.toml") as caught:
        read_language(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo], ids=["folder", "pipe"])
def test_a_config_that_is_no_file_is_refused_without_waiting(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "config.toml"
    make(path)
    with refused(str(path), str(path)):
        load_config(path)
    with pytest.raises(LanguageFileError):
        read_language(path)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        (f"algorithm.steps={DIGITS}", "algorithm.steps"),
        (f"algorithm.steps=0x{DIGITS}", "algorithm.steps"),
        ("algorithm.steps=" + "[" * 20_000, "algorithm.steps"),
        ("algorithm.steps=" + "[" * 20 + "]" * 20, "algorithm.steps"),
        ("algorithm.steps=9223372036854775808", "algorithm.steps"),
        (f"learner.learning_rate={DIGITS}", "learner.learning_rate"),
        ("learner.learning_rate=inf", "learner.learning_rate"),
        ("learner.learning_rate=1e999", "learner.learning_rate"),
        ("learner.learning_rate=nan", "learner.learning_rate"),
        (".".join(["a"] * 20_000) + "=1", "a"),
        ("run.seed.a.b=1", "run.seed"),
    ],
)
def test_a_hostile_override_is_refused_by_its_key(override: str, key: str) -> None:
    with refused(key):
        load_config(QUICKSTART, [override])
