"""The address of an API server, and of the proxy in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

__all__ = ["environment_proxy", "url"]


def url(field: str, given: str) -> str:
    """Return a field's value, which must be an http or https URL, without a slash at its end. Raises ValueError."""
    given = given.rstrip("/")
    parts = urlsplit(given)
    rest = (parts.query, parts.fragment)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0 or any(rest) or " " in given:
        raise ValueError(f"{field}: invalid address {given!r}: expected https://HOST:PORT")
    return given


def environment_proxy(server: str, environ: Mapping[str, str]) -> str:
    """Return the proxy for a server from HTTPS_PROXY and similar variables. Lower case takes precedence, as in urllib.

    aiohttp would read the process's environment, and also send credentials from ~/.netrc.
    """
    named = sorted((name.islower(), name, value) for name, value in environ.items() if name.lower().endswith("_proxy"))
    proxies = {name.lower().removesuffix("_proxy"): value for _, name, value in named}
    parts = urlsplit(server)
    return "" if proxy_bypass(parts.hostname or "", proxies) else proxies.get(parts.scheme, "")
