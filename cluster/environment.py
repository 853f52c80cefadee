"""Set the environment variables that libraries read when they are imported, before any of them is imported.

Imports nothing but the standard library.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
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
LOOPBACK = {
    # Ray's name for it is of Windows and macOS, where it is the default. Linux has the same switch: the node's address
    # is 127.0.0.1, and every server of Ray (GCS, raylet, workers, agents, metrics pages) listens there only.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
    "VLLM_HOST_IP": "127.0.0.1",
}
"""Variables of a run that starts its own Ray: nothing that it starts can be reached from another machine."""
ROLE_VARIABLE = "PB_RLSVR_ROLE"
"""The role of an actor's process ("policy", "pivot", "scorer", "learner"), to tell engines apart in a process list."""


FORWARDED = (
    # Where models come from, and with which token.
    *("HF_*", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_*", "SENTENCE_TRANSFORMERS_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    # How processes reach each other: NCCL, gloo, UCX, libfabric.
    *("NCCL_*", "TORCH_NCCL_*", "GLOO_*", "UCX_*", "FI_*"),
    # How torch, vLLM and their compilers work.
    *("PYTORCH_*", "TORCH_LOGS", "TORCHINDUCTOR_*", "TORCHDYNAMO_*", "TRITON_*", "VLLM_*", "CUDA_LAUNCH_BLOCKING"),
)
"""Variables of the driver's shell that reach the actors on every node of a cluster; "*" stands for any ending."""
_OF_ONE_NODE = ("VLLM_HOST_IP",)
"""Variables that these patterns name and that mean something else on every node."""


def prepare_process() -> None:
    """Set the variables of this process, and so of those that it starts. Values that the user has set stay."""
    for name, value in (QUIET | ({} if cluster_address() else LOOPBACK)).items():
        os.environ.setdefault(name, value)


def forwarded(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that actors need as the driver has them. Some hold tokens: never write them anywhere."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _OF_ONE_NODE and any(fnmatchcase(name, pattern) for pattern in FORWARDED)
    }


def cluster_address() -> str:
    """Return the address of the cluster to connect to; empty: the run starts Ray on this machine, for itself."""
    address = os.environ.get("RAY_ADDRESS", "")
    return "" if address == "local" else address


def close_token_file() -> None:
    """Let nobody but its owner read Ray's own token file: Ray writes it with the permissions of any other file."""
    path = _own_token_file()
    with suppress(OSError):  # there is none, or it belongs to another user, who alone can change it
        mode = path.stat().st_mode
        if mode & 0o077:
            path.chmod(mode & 0o700)


def _own_token_file() -> Path:
    return Path.home() / ".ray" / "auth_token"
