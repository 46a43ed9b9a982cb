"""Who may do what: credentials from a request, and the rule of a registry with a single token."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from klever.errors import FailedPreconditionError, PermissionDeniedError, UnauthenticatedError
from klever.registry.tokens import derive_key, is_task_token, verify

__all__ = ["Authorize", "Credentials", "Verb", "authorize_by_token", "credentials_of"]

Verb = Literal["login", "pull", "push", "delete"]
"""`login` is the question whether the credentials are good, asked of `/v2/`; it and listing repositories name none."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request came with; `user` is empty with a bearer token.

    Bytes that are no UTF-8 stand in them as surrogates, as everywhere in what aiohttp reads of a header.
    """

    user: str = ""
    token: str = field(default="", repr=False)


Authorize = Callable[[Credentials | None, Verb, str], None]
"""Called with (credentials, verb, repository); raises `UnauthenticatedError` or `PermissionDeniedError` to refuse."""


def _now() -> datetime:
    return datetime.now(UTC)


def authorize_by_token(token: str, *, reads: bool, clock: Callable[[], datetime] = _now) -> Authorize:
    """The rule of one token: writing needs it, reading too where `reads`. Wrong credentials are always refused.

    A task token (`klever.registry.tokens`) signed with the key that belongs to `token` allows what it grants, and
    nothing else: not even what is open to everybody. Raises `FailedPreconditionError` for an empty token, which
    everybody knows.
    """
    if not token:
        raise FailedPreconditionError("the registry has no token")
    expected, key = token.encode(), derive_key(token)

    def authorize(credentials: Credentials | None, verb: Verb, repository: str) -> None:
        if credentials is None:
            if verb == "pull" and not reads:
                return
            raise UnauthenticatedError("this needs the registry's token, as a bearer token or as a password")
        if hmac.compare_digest(credentials.token.encode(errors="surrogateescape"), expected):
            return
        if not is_task_token(credentials.token):
            raise UnauthenticatedError("the token is not this registry's")
        allowed = verify(key, credentials.token, clock())
        if verb != "login" and not allowed.allows(verb, repository):
            raise PermissionDeniedError(f"the task token does not allow to {verb} {repository or 'all repositories'}")

    return authorize


def credentials_of(header: str) -> Credentials | None:
    """What an Authorization header holds: `Bearer TOKEN`, or `Basic` of any user with the token as password.

    None without a header; raises `UnauthenticatedError` for one that cannot be read.
    """
    if not header:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return Credentials(token=value.strip())
    if scheme.lower() != "basic":
        raise UnauthenticatedError("the Authorization header is neither Bearer nor Basic")
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError as error:  # no ASCII, no base64, or no UTF-8 in it
        raise UnauthenticatedError("the Basic credentials are not base64 of USER:PASSWORD") from error
    return Credentials(user, password)
