"""Free ports on the loopback interface.

They are taken from below the range that the kernel hands to outgoing connections (net.ipv4.ip_local_port_range,
32768 and up by default), so that none takes one between our look and the server's bind. What still can is another
server: whoever starts a process tries again with other ports when it cannot bind.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from typing import Final

from klever.errors import ExhaustedError

__all__ = ["LOOPBACK", "free_ports"]

LOOPBACK: Final = "127.0.0.1"

_RANGE: Final = range(20000, 32768)
_TRIES: Final = 1000


def free_ports(count: int, taken: Collection[int] = ()) -> tuple[int, ...]:
    """Return ports that nothing listens on and that are not in `taken`; raises `ExhaustedError`."""
    found: list[int] = []
    for port in random.sample(_RANGE, _TRIES):
        if port not in taken and _is_free(port):
            found.append(port)
            if len(found) == count:
                return tuple(found)
    raise ExhaustedError(f"no {count} free ports between {_RANGE.start} and {_RANGE.stop - 1} on {LOOPBACK}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what a closed connection left in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
