"""What the gateway is: its one port and what stands behind it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from klever.limits import DEFAULTS, Limits

__all__ = ["Gateway"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """`host` and `port` are bound; `names` are further host names that clients may use.

    `api` and `registry` are Unix sockets, `descriptors` the descriptor set of the API, `admin` the Unix socket of
    Envoy's administration. Beyond loopback every request needs `token`.
    """

    host: str
    """An IP address."""
    port: int
    api: Path
    registry: Path
    admin: Path
    descriptors: Path
    token: str = field(repr=False)
    names: tuple[str, ...] = ()
    limits: Limits = DEFAULTS

    @property
    def beyond_loopback(self) -> bool:
        return not ipaddress.ip_address(self.host).is_loopback

    @property
    def authorities(self) -> tuple[str, ...]:
        """Every `host:port` under which the gateway answers."""
        loopback = ("127.0.0.1", "localhost", "[::1]")
        bound = () if self.host in ("0.0.0.0", "::") else (self.host,)  # noqa: S104 - compared, not bound
        names = dict.fromkeys((*loopback, *(f"[{h}]" if ":" in h else h for h in bound), *self.names))
        return tuple(f"{name}:{self.port}" for name in names)

    @property
    def url(self) -> str:
        """The URL that users are told."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
