"""Keep keys and passwords out of what is written down."""

import os
import re
from collections.abc import Mapping

HIDDEN = "***"
SHORTEST = 8
"""Characters of a value that is looked for: a shorter one is an ordinary word, or a number."""

_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_NO_SECRET = re.compile(r"_(PATH|FILE|MODE|URL|URI)$", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s'\"]+@")


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of the variables whose names say that they are keys or passwords, the longest first."""
    found = {
        value
        for name, value in environment.items()
        if len(value) >= SHORTEST and _NAMES.search(name) and not _NO_SECRET.search(name)
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the text without the keys and passwords of the environment, and without those in addresses."""
    for value in secret_values(os.environ if environment is None else environment):
        text = text.replace(value, HIDDEN)
    return _IN_ADDRESS.sub(f"{HIDDEN}@", text)
