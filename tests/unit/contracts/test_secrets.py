"""Check which values of the environment are kept out of what is written down."""

import pytest

from contracts.secrets import redacted, secret_values


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "RAY_AUTH_TOKEN"]
)
def test_keys_tokens_and_passwords_are_secrets(name: str) -> None:
    assert secret_values({name: "abcdefgh"}) == ("abcdefgh",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAY_AUTH_TOKEN_PATH", "/home/me/token"),
        ("HOME", "/home/me"),
        ("HF_TOKEN", "short"),
        ("RAY_AUTH_MODE", "disabled"),
    ],
)
def test_paths_modes_and_short_words_are_none(name: str, value: str) -> None:
    assert secret_values({name: value}) == ()


def test_a_text_loses_secrets_and_passwords_in_addresses() -> None:
    environment = {"HF_TOKEN": "hf_abcdefgh", "OTHER_TOKEN": "hf_abcdefghij"}
    text = "hf_abcdefghij and hf_abcdefgh at https://me:pass@host/path, not https://host/@x"
    assert redacted(text, environment) == "*** and *** at https://***@host/path, not https://host/@x"
