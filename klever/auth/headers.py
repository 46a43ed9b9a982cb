"""Credentials in an HTTP Authorization header or its gRPC equivalent."""

from __future__ import annotations

import base64

from klever.auth import Credentials
from klever.errors import UnauthenticatedError

__all__ = ["parse_authorization", "parse_bearer"]


def parse_bearer(header: str) -> Credentials | None:
    """Parse `Bearer TOKEN` (RFC 6750; the scheme is case-insensitive, RFC 9110).

    Returns None for an empty header. Raises `UnauthenticatedError` for any other scheme.
    """
    if not header:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError("invalid authorization: expected `Bearer TOKEN`")
    return Credentials(token=value.strip())


def parse_authorization(header: str) -> Credentials | None:
    """Parse `Bearer TOKEN`, or `Basic` with any user and the token as password, as registry clients send it.

    Returns None for an empty header. Raises `UnauthenticatedError` for anything else.
    """
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return parse_bearer(header)
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError as error:  # not ASCII, not base64, or decodes to invalid UTF-8
        raise UnauthenticatedError("invalid Basic credentials: expected base64 of USER:PASSWORD") from error
    return Credentials(user, password)
