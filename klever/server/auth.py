"""Who may call what: one token guards every write; beyond loopback it guards everything."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from klever.errors import FailedPreconditionError, UnauthenticatedError

__all__ = ["ANONYMOUS", "TokenAuthenticator", "is_read"]

ANONYMOUS = "anonymous"
OWNER = "owner"
"""Whoever has the one token."""

_READ_PREFIXES = ("Get", "List", "Watch", "Stream", "Render")


def is_read(method: str) -> bool:
    """Say whether an RPC (its bare name) changes nothing."""
    return method.startswith(_READ_PREFIXES)


class TokenAuthenticator:
    """Checks `authorization: Bearer TOKEN` in constant time (RFC 6750; the scheme in any case, RFC 9110).

    Raises `FailedPreconditionError` for an empty token, which everybody knows.
    """

    def __init__(self, token: str, *, guard_reads: bool) -> None:
        if not token:
            raise FailedPreconditionError("the API has no token")
        self._expected = token.encode()
        self._guard_reads = guard_reads

    def check(self, method: str, metadata: Mapping[str, str | bytes]) -> str:
        """Return who calls, for the log. Raises `UnauthenticatedError` unless the caller may call the RPC."""
        if is_read(method) and not self._guard_reads:
            return ANONYMOUS
        given = metadata.get("authorization")
        if given is None:
            raise UnauthenticatedError("a token is needed: send `authorization: Bearer TOKEN` (or set KLEVER_TOKEN)")
        scheme, _, value = (given.decode(errors="replace") if isinstance(given, bytes) else given).partition(" ")
        right = hmac.compare_digest(value.strip().encode(), self._expected)
        if scheme.lower() != "bearer" or not right:
            raise UnauthenticatedError("the token is not valid: see `token` in the data directory")
        return OWNER
