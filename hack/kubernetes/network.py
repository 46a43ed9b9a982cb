"""The addresses of a cluster that has pods."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

__all__ = ["Network", "identity"]

_POOL = IPv4Network("198.18.0.0/15")
"""Set aside for tests of networks by RFC 2544: no machine's own network is there."""


def identity(root: Path) -> str:
    """Eight hexadecimal digits that tell a directory's cluster from others on this machine."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:8]


class Network:
    """One /22: a link between the host and the node, the node's pods, and the Services."""

    def __init__(self, block: IPv4Network) -> None:
        self.block = block
        link, self.pods, self.services, _ = block.subnets(new_prefix=24)
        self.host: IPv4Address = link[1]
        self.node: IPv4Address = link[2]
        self.api: IPv4Address = self.services[1]
        """The Service `kubernetes`."""

    @classmethod
    def choose(cls, root: Path) -> Network:
        """Choose a block that this machine has no route to; a directory gets the same again where it can."""
        taken = list(_routes())
        blocks = list(_POOL.subnets(new_prefix=22))
        first = int(identity(root), 16) % len(blocks)
        for block in (*blocks[first:], *blocks[:first]):
            if not any(block.overlaps(other) for other in taken):
                return cls(block)
        raise RuntimeError(f"this machine has routes to all of {_POOL}: end a cluster first")


def _routes() -> Iterator[IPv4Network]:
    command = ["ip", "-json", "-4", "route", "show", "table", "all"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for route in json.loads(listed or "[]"):
        if route["dst"] != "default":
            yield IPv4Network(route["dst"], strict=False)
