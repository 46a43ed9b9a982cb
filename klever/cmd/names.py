"""The names and addresses of this machine in the network."""

from __future__ import annotations

import fcntl
import socket
import struct

__all__ = ["own_names"]

_SIOCGIFADDR = 0x8915
"""The ioctl for the IPv4 address of an interface (netdevice(7))."""


def own_names() -> tuple[str, ...]:
    """Return the host name and the IPv4 addresses of the interfaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        addresses = [_address(sock, name) for _, name in socket.if_nameindex()]
    return (socket.gethostname(), *filter(None, addresses))


def _address(sock: socket.socket, interface: str) -> str:
    """Return the IPv4 address of an interface; empty if it has none."""
    request = struct.pack("16s16x", interface.encode()[:15])
    try:
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, request)
    except OSError:
        return ""
    return socket.inet_ntoa(answer[20:24])
