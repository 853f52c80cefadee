"""Test that the ports of a process tree are found, and told apart by who reaches them."""

import os
import socket
import subprocess
import sys
from ipaddress import ip_address

import pytest

from cluster.listening import is_loopback, listening_ports, reachable_from_outside

CHILD = (
    "import socket, sys; server = socket.create_server(('127.0.0.1', 0)); "
    "print(server.getsockname()[1], flush=True); sys.stdin.read()"
)


def test_a_port_on_every_interface_is_named_and_one_on_loopback_is_not() -> None:
    with socket.create_server(("0.0.0.0", 0)) as outside, socket.create_server(("127.0.0.1", 0)) as inside:
        ports = {one.port: one for one in listening_ports(os.getpid())}
        opened, closed = ports[outside.getsockname()[1]], ports[inside.getsockname()[1]]
    assert (opened.address, opened.is_local) == ("0.0.0.0", False)
    assert (closed.address, closed.is_local) == ("127.0.0.1", True)
    line = reachable_from_outside([opened, closed])
    assert str(opened.port) in line and str(closed.port) not in line
    assert reachable_from_outside([closed]) == ""


def test_a_child_counts_and_another_process_does_not() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert port in {one.port for one in listening_ports(os.getpid())}
        assert {one.port for one in listening_ports(child.pid)} == {port}
        child.communicate()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_a_socket_of_both_families_is_read() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        (found,) = [one for one in listening_ports(os.getpid()) if one.port == server.getsockname()[1]]
    assert (found.address, found.is_local) == ("::", False)


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("192.0.2.1", False),
        ("::", False),
        ("0.0.0.0", False),
    ],
)
def test_loopback_is_told_from_every_other_address(address: str, is_local: bool) -> None:
    assert is_loopback(ip_address(address)) is is_local
