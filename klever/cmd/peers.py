"""The NetworkPolicyPeers that reach replicas in pods."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from klever.errors import UnavailableError

__all__ = ["CONTROL_PLANE", "select_pods", "this_machine"]

CONTROL_PLANE: Final[Mapping[str, Any]] = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "klever-system"}}
}
_HTTPS: Final = 443


def select_pods(namespace: str, labels: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the pods of a namespace with these labels as a peer."""
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": dict(labels)},
    }


def this_machine(server: str) -> Mapping[str, Any]:
    """Return this machine as a peer, by its address towards the API server. Sends nothing.

    Raises `UnavailableError` if there is no route to the server.
    """
    url = urlsplit(server)
    try:
        ((family, _, _, _, address), *_) = socket.getaddrinfo(url.hostname, url.port or _HTTPS, type=socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            own = ip_address(probe.getsockname()[0])
    except OSError as error:
        raise UnavailableError(f"{server}: {error.strerror}: name the gateway in the file of --pods") from error
    return {"ipBlock": {"cidr": f"{own}/{own.max_prefixlen}"}}
