"""The gateway's settings: its only port, and the servers behind it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from klever.limits import DEFAULTS, Limits

__all__ = ["Gateway", "Tls"]

_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_DEFAULT_PORTS: Final = (80, 443)
"""Clients omit the default port of their scheme from the Host header (RFC 9110, section 7.2)."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Two files in PEM: the certificate, followed by its chain, and the private key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Gateway:
    """`host` and `port` are bound. `names` are additional host names that clients may use.

    `api`, `registry`, `access` and `admin` are Unix sockets: of the API, the registry, the access server and Envoy's
    administration. `descriptors` is the descriptor set of the API. Beyond loopback, the access server checks every
    request, and with `tls` requests need TLS. Loopback always accepts plain HTTP, so that clients on this machine need
    no certificate.
    """

    host: str
    """An IP address."""
    port: int
    api: Path
    registry: Path
    admin: Path
    access: Path
    descriptors: Path
    names: tuple[str, ...] = ()
    tls: Tls | None = None
    limits: Limits = DEFAULTS

    @property
    def beyond_loopback(self) -> bool:
        return not ipaddress.ip_address(self.host).is_loopback

    @property
    def addresses(self) -> tuple[str, ...]:
        """The IP addresses to bind: `host`, and loopback for the platform's own clients."""
        covers_loopback = self.host == "0.0.0.0" or not self.beyond_loopback  # noqa: S104 - compared, not bound
        return (self.host,) if covers_loopback else (self.host, "127.0.0.1")

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every name and address of the gateway; IPv6 addresses in brackets."""
        bound = () if self.host in _EVERYWHERE else (_bracketed(self.host),)
        return tuple(dict.fromkeys((*_LOOPBACK, *bound, *self.names)))

    @property
    def authorities(self) -> tuple[str, ...]:
        """Every value of the Host header that the gateway accepts."""
        bare = self.hosts if self.port in _DEFAULT_PORTS else ()
        return (*(f"{name}:{self.port}" for name in self.hosts), *bare)

    @property
    def local_url(self) -> str:
        """The URL for clients of this machine."""
        host = "127.0.0.1" if self.beyond_loopback else self.host
        return f"http://{_bracketed(host)}:{self.port}"

    @property
    def url(self) -> str:
        """The URL for users."""
        if not self.beyond_loopback or self.host in _EVERYWHERE:
            return self.local_url
        return f"{'https' if self.tls else 'http'}://{_bracketed(self.host)}:{self.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
