"""Identity and authorization: two questions that the API, the registry and the gateway ask of the same two parts.

An `Authenticator` says who sent a request. An `Authorizer` says whether that caller may do what the request asks for.
All three authenticate before they read a body. The API and the registry authorize once they know the object. The
gateway authorizes inference, whose object is in the path or the metadata. `klever.cmd` alone chooses implementations.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Protocol

from klever.errors import PermissionDeniedError, UnauthenticatedError

__all__ = ["ANONYMOUS", "Access", "Authenticator", "Authorizer", "Caller", "Credentials", "Decision", "Resource"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request presents: a token, and the user name that came with it (empty for a bearer token).

    Bytes that are not UTF-8 stand in both as surrogates.
    """

    user: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. The name goes to the log."""

    name: str
    groups: frozenset[str] = frozenset()
    grants: Mapping[str, AbstractSet[str]] | None = None
    """The verbs that this caller may use, by repository, and nothing else; None where its groups decide."""


ANONYMOUS: Final = Caller("anonymous", frozenset({"unauthenticated"}))
"""A caller without credentials."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What a request is about. An empty namespace or name stands for all of them."""

    kind: str
    """The kind of an object, such as `Serving`; `Repository` in the registry."""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    """A part of the object with rights of its own, such as `logs` or `traffic`."""


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: str = ""
    """Why not; completes the sentence "permission denied: …"."""


class Authenticator(Protocol):
    def authenticate(self, credentials: Credentials | None) -> Caller:
        """Return who presents these credentials; `ANONYMOUS` for None, where callers may be anonymous.

        Raises `UnauthenticatedError` for credentials that are wrong or expired, and for None where callers must not
        be anonymous.
        """


class Authorizer(Protocol):
    def check(self, caller: Caller, verb: str, resource: Resource) -> Decision:
        """Decide whether the caller may do this.

        Verbs of the API are Kubernetes' (get, list, watch, create, patch, update, delete). Verbs of the registry are
        pull, push, delete, and login, which asks whether the credentials are good. The gateway asks for infer, of a
        Serving.
        """


@dataclass(frozen=True, slots=True)
class Access:
    """The two parts that a server asks."""

    authenticator: Authenticator
    authorizer: Authorizer

    def authenticate(self, credentials: Credentials | None) -> Caller:
        """See `Authenticator.authenticate`."""
        return self.authenticator.authenticate(credentials)

    def require(self, caller: Caller, verb: str, resource: Resource) -> None:
        """Raise unless the caller may do this.

        Raises `PermissionDeniedError`, or `UnauthenticatedError` for an anonymous caller, who lacks a token.
        """
        decision = self.authorizer.check(caller, verb, resource)
        if decision.allowed:
            return
        if caller == ANONYMOUS:
            raise UnauthenticatedError("a token is needed: send `authorization: Bearer TOKEN` (or set KLEVER_TOKEN)")
        raise PermissionDeniedError(f"permission denied: {decision.reason}")
