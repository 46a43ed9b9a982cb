"""The rule of one token: its owner may do everything, a task what its own token grants, others may only read."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Final

from klever.auth import ANONYMOUS, Access, Caller, Credentials, Decision, Resource
from klever.auth.task_tokens import derive_key, is_task_token, verify
from klever.errors import FailedPreconditionError, UnauthenticatedError

__all__ = ["OWNER", "TokenAuthenticator", "TokenAuthorizer", "token_access"]

OWNER: Final = Caller("owner", frozenset({"owners"}))
"""The group of callers with the platform's token."""

_READS: Final = frozenset({"get", "list", "watch", "pull", "infer"})
"""Verbs that change nothing."""


def _now() -> datetime:
    return datetime.now(UTC)


class TokenAuthenticator:
    """Accepts one token, compared in constant time, and the task tokens signed with a key derived from it.

    `anonymous` says whether requests without credentials are admitted. Raises `FailedPreconditionError` for an empty
    token.
    """

    def __init__(self, token: str, *, anonymous: bool, clock: Callable[[], datetime] = _now) -> None:
        if not token:
            raise FailedPreconditionError("the token of the platform is empty")
        self._expected = token.encode()
        self._key = derive_key(token)
        self._anonymous = anonymous
        self._clock = clock

    def authenticate(self, credentials: Credentials | None) -> Caller:
        if credentials is None:
            if self._anonymous:
                return ANONYMOUS
            raise UnauthenticatedError("missing token: send `authorization: Bearer TOKEN` (or set KLEVER_TOKEN)")
        if hmac.compare_digest(credentials.token.encode(errors="surrogateescape"), self._expected):
            return OWNER
        if not is_task_token(credentials.token):
            raise UnauthenticatedError(
                "invalid token: the platform's token is in the file `token` of its data directory"
            )
        return Caller("task", frozenset({"tasks"}), verify(self._key, credentials.token, self._clock()).grants)


class TokenAuthorizer:
    """Lets the owner do everything, tasks do what their tokens grant, and others read."""

    def check(self, caller: Caller, verb: str, resource: Resource) -> Decision:
        if caller.grants is not None:
            return _granted(caller.grants, verb, resource)
        if "owners" in caller.groups or verb in _READS:
            return Decision(allowed=True)
        return Decision(allowed=False, reason=f"{caller.name} may only read")


def _granted(grants: Mapping[str, AbstractSet[str]], verb: str, resource: Resource) -> Decision:
    """Decide for a task. Its token is valid for named repositories only, never for all."""
    if resource.kind == "Repository" and (verb == "login" or verb in grants.get(resource.name, ())):
        return Decision(allowed=True)
    return Decision(allowed=False, reason=f"the task token does not grant {verb} on {resource.kind} {resource.name}")


def token_access(token: str, *, anonymous: bool, clock: Callable[[], datetime] = _now) -> Access:
    """Return the rule of one token. `anonymous` opens reads to everybody."""
    return Access(TokenAuthenticator(token, anonymous=anonymous, clock=clock), TokenAuthorizer())
