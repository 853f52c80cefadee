"""Find the ports at which a process, and those that it has started, can be reached from other machines.

Reads /proc, as `ss -ltnp` does. Processes of other users are not looked into.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"  # the state in /proc/net/tcp


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class ListeningPort:
    """Describe a TCP port that a process listens at."""

    port: int
    address: str  # "0.0.0.0" and "::" are every address of the machine
    command: str  # name of the process
    is_local: bool  # only processes of this machine reach it


def listening_ports(root: int) -> list[ListeningPort]:
    """Return the ports of process `root` and all its descendants, in order."""
    sockets = dict(_listening_sockets())
    found = {
        ListeningPort(port=port, address=str(address), command=_command(pid), is_local=is_loopback(address))
        for pid in _tree(root)
        for address, port in (sockets[inode] for inode in _inodes(pid) if inode in sockets)
    }
    return sorted(found)


def reachable_from_outside(ports: Iterable[ListeningPort]) -> str:
    """Return a line that names the ports which other machines reach; empty if there are none."""
    named = [f"{one.address}:{one.port} ({one.command})" for one in ports if not one.is_local]
    return f"other machines can reach {', '.join(named)}; see docs/operations.md" if named else ""


def is_loopback(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is of this machine alone, also as IPv4 within IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _listening_sockets() -> Iterator[tuple[str, tuple[IPv4Address | IPv6Address, int]]]:
    """Yield (inode, (address, port)) of every TCP socket of this machine that listens."""
    for name in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a machine without IPv6
            for line in (PROC / "net" / name).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN:
                    host, port = fields[1].split(":")
                    yield fields[9], (_address(host), int(port, 16))


def _address(text: str) -> IPv4Address | IPv6Address:
    """Return the address that the kernel writes as hexadecimal words in the machine's byte order (little-endian)."""
    packed = b"".join(bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _tree(root: int) -> Iterator[int]:
    """Yield the process and its descendants."""
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            # The name in parentheses may hold spaces and parentheses; state and parent come after it.
            parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    waiting = [root]
    while waiting:
        waiting += children.get(waiting[0], [])
        yield waiting.pop(0)


def _inodes(pid: int) -> Iterator[str]:
    with suppress(OSError):  # it has ended meanwhile, or belongs to another user
        for opened in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                target = str(opened.readlink())
                if target.startswith("socket:["):
                    yield target.removeprefix("socket:[").removesuffix("]")


def _command(pid: int) -> str:
    with suppress(OSError):
        return (PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return str(pid)
