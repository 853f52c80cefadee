"""Set the environment variables that libraries read when they are imported, before any of them is imported.

Imports nothing but the standard library.
"""

import os
from pathlib import Path

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}
"""Variables of every process of a run: no library reports usage, and no progress bar lands in a log."""
ROLE_VARIABLE = "PB_RLSVR_ROLE"
"""The role of an actor's process ("policy", "pivot", "scorer", "learner"), to tell engines apart in a process list."""


def prepare_process() -> None:
    """Set the variables of this process. Values that the user has set stay.

    Ray turns token authentication on by itself when it starts a cluster, but not when it connects to one: a client of a
    cluster with a token must turn it on before it imports Ray.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if os.environ.get("RAY_ADDRESS") and _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or (Path.home() / ".ray" / "auth_token").exists()
