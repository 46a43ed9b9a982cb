"""Impersonation, which the `kubernetes` package does not support.

Source: kubernetes.io/docs/reference/access-authn-authz/user-impersonation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["impersonation_headers"]

_HEADER_CHARACTERS = "!#$&'*+^`|"
"""Safe characters in addition to letters, digits and `-._~`, which are never quoted (RFC 7230: tchar, without %)."""


def impersonation_headers(user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the headers for `as`, `as-uid`, `as-groups` and `as-user-extra` of a user. Raises ValueError."""
    fields = {"User": [user.get("as")], "Uid": [user.get("as-uid")], "Group": user.get("as-groups", [])}
    extra = user.get("as-user-extra", {})
    fields |= {f"Extra-{quote(name, safe=_HEADER_CHARACTERS)}": values for name, values in extra.items()}
    if not all(isinstance(values, list) for values in fields.values()):
        raise ValueError("as-groups, and each field of as-user-extra, must be a list")
    headers = tuple((f"Impersonate-{name}", value) for name, values in fields.items() for value in values if value)
    if headers and not user.get("as"):
        raise ValueError("as is required with as-uid, as-groups or as-user-extra")
    if not all(isinstance(value, str) and value.isprintable() for _, value in headers):
        raise ValueError("as, as-uid, as-groups and as-user-extra must be lines of text")
    return headers
