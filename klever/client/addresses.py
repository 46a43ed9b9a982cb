"""One canonical URL for all spellings of a server's address, so that a token goes to its own server only."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import urlsplit

from klever.errors import InvalidError
from klever.oci.registries import is_loopback

__all__ = ["Address"]

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address. `scheme` is http, https, or empty if the text had none; `port` is None if it had none."""

    scheme: str
    host: str
    """In lower case. IPv6 addresses are in brackets, in their short form."""
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse HOST, HOST:PORT or a URL of http or https. Raises `InvalidError`."""
        try:
            parts = urlsplit(text if "://" in text else f"//{text}")
            port, host = parts.port, _host(parts.hostname or "")
        except ValueError as error:
            raise _invalid(text) from error
        rest = parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in ("", *_PORTS) or port == 0 or rest:
            raise _invalid(text)
        return cls(parts.scheme, host, port)

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host.strip("[]"))

    def url(self, scheme: str = "") -> str:
        """Return `http[s]://HOST:PORT` with the address's own scheme, or else `scheme`.

        Over http, localhost becomes 127.0.0.1, so that both are one server. Over https it stays, because the
        certificate must match it.
        """
        scheme = self.scheme or scheme
        host = "127.0.0.1" if (scheme, self.host) == ("http", "localhost") else self.host
        return f"{scheme}://{host}:{self.port or _PORTS[scheme]}"

    def over(self, scheme: str) -> str:
        """Return the URL of the same host and port with another scheme."""
        return replace(self, scheme=scheme, port=self.port or _PORTS.get(self.scheme)).url(scheme)


def _host(name: str) -> str:
    """Return the canonical host. Raises `ValueError` unless it is an IP address or an ASCII host name."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if not _HOST.fullmatch(name):
            raise
        return name
    return f"[{address}]" if address.version == 6 else str(address)


def _invalid(text: str) -> InvalidError:
    return InvalidError(f"invalid server {text!r}: must be HOST:PORT or a URL of http or https")
