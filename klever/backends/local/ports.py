"""Finds free ports of the loopback interface, and servers that listen beyond it.

Free ports are below the range of outgoing connections (net.ipv4.ip_local_port_range, 32768 and up by default), so that
no connection takes one between this check and the server's bind. Another server still can: the caller then restarts the
process with other ports.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from klever.errors import ExhaustedError

__all__ = ["LOOPBACK", "address_beyond_loopback", "free_ports"]

LOOPBACK: Final = "127.0.0.1"

_RANGE: Final = range(20000, 32768)
_TRIES: Final = 1000
_LISTENING: Final = "0A"
"""TCP_LISTEN of net/tcp_states.h."""


def free_ports(count: int, taken: Collection[int] = ()) -> tuple[int, ...]:
    """Return free ports that are not in `taken`. Raises `ExhaustedError`."""
    found: list[int] = []
    for port in random.sample(_RANGE, _TRIES):
        if port not in taken and _is_free(port):
            found.append(port)
            if len(found) == count:
                return tuple(found)
    raise ExhaustedError(
        f"fewer than {count} ports between {_RANGE.start} and {_RANGE.stop - 1} are free on {LOOPBACK}"
    )


def address_beyond_loopback(port: int) -> str:
    """Return an address beyond loopback on which a server listens at a TCP port; empty if there is none.

    Source: proc_pid_net(5). A line of /proc/net/tcp has the local address as words in the machine's byte order.
    """
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == _LISTENING and int(number, 16) == port and not (found := _address(address)).is_loopback:
                return str(found)
    return ""


def _address(text: str) -> IPv4Address | IPv6Address:
    words = bytes.fromhex(text)
    address = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    if len(address) == 4:
        return IPv4Address(address)
    mapped = IPv6Address(address)
    return mapped.ipv4_mapped or mapped


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As in servers, a closed connection in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
