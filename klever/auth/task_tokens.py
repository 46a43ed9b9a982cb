"""Tokens of tasks: signed, short-lived, and valid for named verbs on named repositories only.

    klever1.PAYLOAD.SIGNATURE

PAYLOAD is unpadded base64url of canonical JSON (sorted keys, no spaces),
`{"exp": UNIX_SECONDS, "grants": {REPOSITORY: [VERB, …]}}`. SIGNATURE is unpadded base64url of HMAC-SHA256 over
everything before its dot. The version prefix determines the algorithm: no part of a token chooses how the token is
verified.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from klever.errors import InvalidError, UnauthenticatedError
from klever.oci.reference import is_repository

__all__ = ["Grant", "TaskToken", "derive_key", "is_task_token", "sign", "verify"]

Grant = Literal["pull", "push"]

_PREFIX: Final = "klever1."
_LABEL: Final = b"klever registry task token v1"
_GRANTS: Final = frozenset({"pull", "push"})
_MAX_LENGTH: Final = 8192
"""The largest number of characters in a token: it must fit in a header line."""


@dataclass(frozen=True, slots=True)
class TaskToken:
    """What a verified token allows, until the moment `expires`."""

    grants: Mapping[str, AbstractSet[str]]
    expires: datetime


def derive_key(secret: str) -> bytes:
    """Return the signing key derived from the platform's token `secret`, which itself signs nothing."""
    if not secret:
        raise InvalidError("the secret of task tokens must not be empty")
    return hmac.digest(secret.encode(), _LABEL, hashlib.sha256)


def sign(key: bytes, grants: Mapping[str, AbstractSet[Grant]], expires: datetime) -> str:
    """Return a token for `grants` that expires at `expires`, a time with a time zone, rounded down to seconds.

    Raises `InvalidError` for an invalid repository, verb or time.
    """
    for repository, verbs in grants.items():
        if not is_repository(repository):
            raise InvalidError(f"invalid repository {repository!r} in a task token")
        if not verbs or not verbs <= _GRANTS:
            raise InvalidError(f"invalid verbs {sorted(verbs)} in a task token: must be pull, push, or both")
    if expires.tzinfo is None:
        raise InvalidError("the expiry of a task token must have a time zone")
    payload = {
        "exp": int(expires.timestamp()),
        "grants": {repository: sorted(verbs) for repository, verbs in grants.items()},
    }
    signed = _PREFIX + _encode(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode())
    token = f"{signed}.{_encode(_signature(key, signed))}"
    if len(token) > _MAX_LENGTH:
        raise InvalidError(f"a task token for {len(grants)} repositories has {len(token)} characters: grant fewer")
    return token


def is_task_token(token: str) -> bool:
    """Whether `token` claims to be a task token."""
    return token.startswith(_PREFIX)


def verify(key: bytes, token: str, now: datetime) -> TaskToken:
    """Return the grants of a token. Raises `UnauthenticatedError` if its signature is wrong or it has expired."""
    signed, _, signature = token.rpartition(".")
    if len(token) > _MAX_LENGTH or not token.isascii() or not is_task_token(signed):
        raise _invalid()
    if not hmac.compare_digest(_encode(_signature(key, signed)), signature):
        raise _invalid()
    parsed = _parse(signed.removeprefix(_PREFIX))
    if now >= parsed.expires:
        raise UnauthenticatedError("the task token has expired")
    return parsed


def _parse(payload: str) -> TaskToken:
    """Parse a payload whose signature is valid, so that `sign` made it."""
    try:
        document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
        grants = {repository: frozenset(verbs) for repository, verbs in document["grants"].items()}
        return TaskToken(grants, datetime.fromtimestamp(document["exp"], UTC))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise _invalid() from error


def _signature(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), hashlib.sha256)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _invalid() -> UnauthenticatedError:
    return UnauthenticatedError("invalid task token")
