"""Test who shows a token to which cluster, on a stand-in for Ray's compiled part. Real clusters: tests/integration."""

import os
from dataclasses import dataclass, field

import pytest
from ray.exceptions import AuthenticationError, RpcError

from cluster import joining
from cluster.joining import MODE, agree_on_token
from tests.refusals import refused

ADDRESS = "head:6379"


@dataclass
class CompiledPart:
    """Answer as a cluster that wants this token (empty: none) to a process that has that one."""

    wanted: str = ""
    own: str = ""
    answers: bool = True
    mode: str = "disabled"  # that was read last
    asked_in: list[str] = field(default_factory=list)

    @property
    def Config(self) -> "CompiledPart":
        return self

    @property
    def AuthenticationTokenLoader(self) -> "CompiledPart":
        return self

    def initialize(self, settings: str) -> None:
        assert settings == ""
        self.mode = os.environ.get(MODE, "disabled")

    def instance(self) -> "CompiledPart":
        return self

    def reset_cache(self) -> None:
        """Do nothing: nothing is kept here."""

    def has_token(self, *, ignore_auth_mode: bool) -> bool:
        assert ignore_auth_mode
        return bool(self.own)

    def GcsClient(self, *, address: str) -> "CompiledPart":
        assert address == ADDRESS
        assert self.mode == "disabled" or self.own, "Ray ends a process that shall show a token and has none"
        return self

    def internal_kv_exists(self, key: bytes, namespace: None, timeout: float) -> bool:
        self.asked_in.append(self.mode)
        if not self.answers:
            raise RpcError("timed out")
        if self.wanted and (self.mode, self.own) != ("token", self.wanted):
            raise AuthenticationError("missing or incorrect")
        return False


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> CompiledPart:
    monkeypatch.setenv(MODE, "")
    monkeypatch.delenv(MODE)
    part = CompiledPart()
    monkeypatch.setattr(joining, "_ray", part)
    return part


@pytest.mark.parametrize("own", ["", "a"])
def test_an_open_cluster_is_joined_without_a_token_also_where_one_lies(cluster: CompiledPart, own: str) -> None:
    cluster.own = own
    assert agree_on_token(ADDRESS) == ""
    assert (MODE in os.environ, cluster.mode) == (False, "disabled")


def test_a_mode_that_an_open_cluster_does_not_want_is_left_with_a_line(
    cluster: CompiledPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODE, "token")
    cluster.own = "a"
    assert MODE in agree_on_token(ADDRESS)
    assert (os.environ[MODE], cluster.mode) == ("disabled", "disabled")


def test_a_cluster_that_wants_a_token_is_shown_it(cluster: CompiledPart) -> None:
    cluster.wanted = cluster.own = "a"
    assert agree_on_token(ADDRESS) == ""
    assert (os.environ[MODE], cluster.asked_in) == ("token", ["disabled", "token"])


@pytest.mark.parametrize(
    ("own", "mode", "named"),
    [
        ("", None, "~/.ray/auth_token"),
        ("", "token", "~/.ray/auth_token"),
        ("b", None, "~/.ray/auth_token"),
        ("a", "disabled", "unset"),
    ],
)
def test_without_the_clusters_token_the_start_is_refused_and_the_mode_is_as_before(
    cluster: CompiledPart, own: str, mode: str | None, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode is not None:
        monkeypatch.setenv(MODE, mode)
    cluster.wanted, cluster.own = "a", own
    with refused(MODE, ADDRESS, named):
        agree_on_token(ADDRESS)
    assert os.environ.get(MODE) == mode


def test_what_is_no_ray_cluster_is_refused_by_its_address(cluster: CompiledPart) -> None:
    cluster.answers = False
    with refused("RAY_ADDRESS", ADDRESS):
        agree_on_token(ADDRESS)
