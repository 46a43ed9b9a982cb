"""Who may call what: one token guards every write; beyond loopback it guards everything."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from klever.errors import UnauthenticatedError

__all__ = ["TokenAuthenticator", "is_read"]

_READ_PREFIXES = ("Get", "List", "Watch", "Stream", "Render")


def is_read(method: str) -> bool:
    """Say whether an RPC (its bare name) changes nothing."""
    return method.startswith(_READ_PREFIXES)


class TokenAuthenticator:
    """Checks `authorization: Bearer TOKEN` in constant time."""

    def __init__(self, token: str, *, guard_reads: bool) -> None:
        self._expected = f"Bearer {token}".encode()
        self._guard_reads = guard_reads

    def check(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Raise `UnauthenticatedError` unless the caller may call the RPC."""
        if is_read(method) and not self._guard_reads:
            return
        for key, value in metadata:
            if key == "authorization":
                given = value if isinstance(value, bytes) else value.encode()
                if hmac.compare_digest(given, self._expected):
                    return
                raise UnauthenticatedError("the token is not valid: see `token` in the data directory")
        raise UnauthenticatedError("a token is needed: send `authorization: Bearer TOKEN` (or set KLEVER_TOKEN)")
