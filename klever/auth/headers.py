"""Credentials in an HTTP Authorization header or its gRPC equivalent."""

from __future__ import annotations

import base64

from klever.auth import Credentials
from klever.errors import UnauthenticatedError

__all__ = ["parse_authorization", "parse_bearer"]


def parse_bearer(header: str) -> Credentials | None:
    """Parse `Bearer TOKEN` (RFC 6750; the scheme in any case, RFC 9110).

    Returns None for an empty header; raises `UnauthenticatedError` for any other scheme.
    """
    if not header:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError("invalid authorization: expected `Bearer TOKEN`")
    return Credentials(token=value.strip())


def parse_authorization(header: str) -> Credentials | None:
    """Parse `Bearer TOKEN`, or `Basic` of any user with the token as password, as registry clients send.

    Returns None for an empty header; raises `UnauthenticatedError` for anything else.
    """
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return parse_bearer(header)
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError as error:  # not ASCII, not base64, or not UTF-8 in it
        raise UnauthenticatedError("invalid Basic credentials: expected base64 of USER:PASSWORD") from error
    return Credentials(user, password)
