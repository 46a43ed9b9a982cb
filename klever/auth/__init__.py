"""Authentication and authorization for the API, the registry and the gateway.

An `Authenticator` identifies the caller of a request. An `Authorizer` decides whether that caller may do what the
request asks for. All three servers authenticate before they read a body. The API and the registry authorize once they
know the object. The gateway authorizes inference, whose object is in the path or the metadata. `klever.cmd` alone
chooses implementations.
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

    In both, surrogates replace bytes that are not UTF-8.
    """

    user: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. The name goes to the log."""

    name: str
    groups: frozenset[str] = frozenset()
    grants: Mapping[str, AbstractSet[str]] | None = None
    """The only verbs that this caller may use, by repository; None if its groups decide."""


ANONYMOUS: Final = Caller("anonymous", frozenset({"unauthenticated"}))
"""A caller without credentials."""


@dataclass(frozen=True, slots=True)
class Resource:
    """The resource of a request. An empty namespace or name means all."""

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
    """Why the request is denied. It follows "permission denied: "."""


class Authenticator(Protocol):
    def authenticate(self, credentials: Credentials | None) -> Caller:
        """Return the caller with these credentials; `ANONYMOUS` for None, if anonymous callers are allowed.

        Raises `UnauthenticatedError` for wrong or expired credentials, and for None if anonymous callers are not
        allowed.
        """


class Authorizer(Protocol):
    def check(self, caller: Caller, verb: str, resource: Resource) -> Decision:
        """Decide whether the caller may do this.

        Verbs of the API are Kubernetes' (get, list, watch, create, patch, update, delete). Verbs of the registry are
        pull, push, delete, and login, which only checks the credentials. The verb of the gateway is infer, on a
        Serving.
        """


@dataclass(frozen=True, slots=True)
class Access:
    """The authenticator and the authorizer of a server."""

    authenticator: Authenticator
    authorizer: Authorizer

    def authenticate(self, credentials: Credentials | None) -> Caller:
        """See `Authenticator.authenticate`."""
        return self.authenticator.authenticate(credentials)

    def require(self, caller: Caller, verb: str, resource: Resource) -> None:
        """Return if the caller may do this.

        Raises `PermissionDeniedError` otherwise, or `UnauthenticatedError` for an anonymous caller.
        """
        decision = self.authorizer.check(caller, verb, resource)
        if decision.allowed:
            return
        if caller == ANONYMOUS:
            raise UnauthenticatedError("missing token: send `authorization: Bearer TOKEN` (or set KLEVER_TOKEN)")
        raise PermissionDeniedError(f"permission denied: {decision.reason}")
