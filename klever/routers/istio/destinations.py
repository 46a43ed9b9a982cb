"""Where the requests of a target go: the host names that Istio knows, and the objects that explain them to it.

A Service keeps its replicas up to date without the controllers. Addresses of no Service get a ServiceEntry.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from klever.api.kinds import Kind
from klever.kube.kinds import DESTINATION_RULE, SERVICE_ENTRY
from klever.routers import RouteKey, Target

__all__ = ["Destination", "Names", "build_destinations"]

Names = Callable[[str], str]
"""Returns the host name of the Service with a cluster IP; empty if there is none."""

_DOMAIN: Final = "klever.internal"
_PORT: Final = 80
_EVERYWHERE: Final = ["*"]
_TCP: Final = {"tcp": {"connectTimeout": "2s"}}
_HTTP: Final[Mapping[str, Any]] = {
    "idleTimeout": "30s",
    "http2MaxRequests": 16384,
    "http1MaxPendingRequests": 8192,
    "maxRetries": 1024,
}


@dataclass(frozen=True, slots=True)
class Destination:
    """A host and port. `objects` are the specs that explain it, by kind and name."""

    host: str
    port: int
    objects: Mapping[tuple[Kind, str], Mapping[str, Any]]


def build_destinations(key: RouteKey, target: Target, names: Names, *, grpc: bool) -> list[Destination]:
    """Return the destinations of a target's HTTP or gRPC endpoints, which share its requests equally."""
    addresses = target.grpc if grpc else target.http
    parts = [address.rpartition(":") for address in addresses]
    hosts = {(_host(host, names), int(port)) for host, _, port in parts}
    found = [_service(key, target, host, port) for host, port in sorted(hosts) if host]
    static = tuple(address for address, part in zip(addresses, parts, strict=True) if not _host(part[0], names))
    return [*found, _static(key, target, static, grpc=grpc)] if static else found


def _host(host: str, names: Names) -> str:
    """Return a host name for the address; empty if there is none."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host
    return names(host)


def _service(key: RouteKey, target: Target, host: str, port: int) -> Destination:
    return Destination(host, port, _rule(key, target, host))


def _static(key: RouteKey, target: Target, addresses: tuple[str, ...], *, grpc: bool) -> Destination:
    """Return a destination for fixed addresses. Others have another name, so that a change takes effect at once."""
    digest = _digest(target.workload, str(grpc), *addresses)
    host = f"{digest}.{key.serving}.{key.namespace}.{_DOMAIN}"
    parts = [address.rpartition(":") for address in addresses]
    entry = {
        "hosts": [host],
        "exportTo": _EVERYWHERE,
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": _PORT, "name": "http", "protocol": "GRPC" if grpc else "HTTP"}],
        "endpoints": [{"address": host.strip("[]"), "ports": {"http": int(port)}} for host, _, port in parts],
    }
    return Destination(host, _PORT, {(SERVICE_ENTRY, f"{key.serving}-{digest}"): entry, **_rule(key, target, host)})


def _rule(key: RouteKey, target: Target, host: str) -> dict[tuple[Kind, str], Mapping[str, Any]]:
    pool = {**_HTTP, **({"http2MaxRequests": target.max_requests} if target.max_requests else {})}
    policy = {"connectionPool": {**_TCP, "http": pool}, "loadBalancer": {"simple": "LEAST_REQUEST"}}
    spec = {"host": host, "exportTo": _EVERYWHERE, "trafficPolicy": policy}
    return {(DESTINATION_RULE, f"{key.serving}-{_digest(host)}"): spec}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]
