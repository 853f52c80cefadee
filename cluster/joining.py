"""Join a running Ray cluster: check its address, and ask it whether it wants a token."""

import os
import socket
from typing import Any, cast

from ray import _raylet
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray.exceptions import AuthenticationError, RayError

from contracts.errors import BadInput

PROBE_TIMEOUT_S = 5.0
MODE = "RAY_AUTH_MODE"
_HOW = "in ~/.ray/auth_token, in RAY_AUTH_TOKEN or in the file of RAY_AUTH_TOKEN_PATH"

_ray: Any = cast("Any", _raylet)
"""Ray's compiled part. No type checker sees what it holds."""


def find_cluster(address: str) -> str:
    """Return the address of the cluster as host:port, checked: `ray.init` itself waits for minutes at a dead one.

    Raises:
        BadInput: the address is none, or does not answer; `key` is "RAY_ADDRESS".
    """
    if address == "auto":
        try:
            return canonicalize_bootstrap_address_or_die(address)
        except ConnectionError as failure:
            raise BadInput(
                "RAY_ADDRESS=auto: no Ray runs on this machine; start it, or unset RAY_ADDRESS", key="RAY_ADDRESS"
            ) from failure
    if "://" in address:
        raise BadInput(
            f"RAY_ADDRESS={address}: a run needs the cluster's own address as host:port (or auto); "
            "http:// is for `ray job submit --address`",
            key="RAY_ADDRESS",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise BadInput(f"RAY_ADDRESS={address}: expected host:port or auto", key="RAY_ADDRESS")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_TIMEOUT_S).close()
    except OSError as failure:
        raise BadInput(
            f"RAY_ADDRESS={address} does not answer ({failure}); start Ray there, or unset RAY_ADDRESS",
            key="RAY_ADDRESS",
        ) from failure
    return address


def agree_on_token(address: str) -> str:
    """Show the cluster a token if it asks for one, and none otherwise. Return a line for the user, mostly empty.

    A driver that shows a token to a cluster without tokens connects, and then none of its actors starts.

    Raises:
        BadInput: the cluster asks for a token and there is none, it is another one, or the user has switched tokens
            off ("RAY_AUTH_MODE"); or no Ray cluster answers at the address ("RAY_ADDRESS").
    """
    asked = os.environ.get(MODE)
    try:
        if _refuses(address, mode="disabled"):
            _show_token(address, asked)
            return ""
    except BadInput:
        _set_mode(asked)
        raise
    if asked != "token":
        _set_mode(asked)
        return ""
    return (
        f"the cluster at {address} asks for no token, so {MODE}=token is not used: everyone who reaches its ports can "
        "use it"
    )


def _show_token(address: str, asked: str | None) -> None:
    """Let this process show its token from now on.

    Raises:
        BadInput: it has none that the cluster takes, or the user wants to show none; `key` is "RAY_AUTH_MODE".
    """
    if asked == "disabled":
        raise BadInput(
            f"the cluster at {address} asks for a token, and {MODE}=disabled shows none; unset {MODE}", key=MODE
        )
    loader = _ray.AuthenticationTokenLoader.instance()
    loader.reset_cache()
    if not loader.has_token(ignore_auth_mode=True):
        raise BadInput(
            f"the cluster at {address} asks for a token, and there is none here; put a copy of the cluster's token "
            f"{_HOW}",
            key=MODE,
        )
    if _refuses(address, mode="token"):
        raise BadInput(
            f"the cluster at {address} refuses the token that is here; put a copy of the cluster's own token {_HOW}",
            key=MODE,
        )


def _refuses(address: str, *, mode: str) -> bool:
    """Return whether the cluster refuses a question in this mode of authentication. The process stays in the mode.

    Raises:
        BadInput: what answers at the address is no Ray cluster.
    """
    _set_mode(mode)
    try:
        _ray.GcsClient(address=address).internal_kv_exists(b"pb-rlsvr", None, PROBE_TIMEOUT_S)
    except AuthenticationError:
        return True
    except (RayError, RuntimeError, ValueError) as failure:
        raise BadInput(
            f"RAY_ADDRESS={address} does not answer as a Ray cluster ({' '.join(str(failure).split())}); give the "
            "address of the cluster's head",
            key="RAY_ADDRESS",
        ) from failure
    return False


def _set_mode(mode: str | None) -> None:
    """Set or unset the variable, and let Ray read it: it has read its settings when it was imported."""
    if mode is None:
        os.environ.pop(MODE, None)
    else:
        os.environ[MODE] = mode
    _ray.Config.initialize("")
