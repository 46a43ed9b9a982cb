"""Whether a container and its security context keep the restricted standard of pods.

Source: kubernetes.io/docs/concepts/security/pod-security-standards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from klever.errors import FieldViolation

__all__ = ["check_hosts", "check_security"]


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_id, value))


def _are_capabilities(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("drop") == ["ALL"] and not value.get("add")


_RULES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "allowPrivilegeEscalation": (lambda value: value is False, "must be false"),
    "capabilities": (_are_capabilities, "must drop ALL, and add none"),
    "fsGroup": (_is_id, "must be above 0"),
    "fsGroupChangePolicy": (lambda value: isinstance(value, str), "must be a string"),
    "privileged": (lambda value: value is False, "must be false"),
    "readOnlyRootFilesystem": (lambda value: isinstance(value, bool), "must be a boolean"),
    "runAsGroup": (_is_id, "must be above 0"),
    "runAsNonRoot": (lambda value: value is True, "must be true"),
    "runAsUser": (_is_id, "must be above 0"),
    "seccompProfile": (lambda value: value == {"type": "RuntimeDefault"}, "must have the type RuntimeDefault"),
    "supplementalGroups": (_are_ids, "must be numbers above 0"),
}


def check_security(context: Any, where: str) -> Iterator[FieldViolation]:
    """Yield a violation for each field of a security context that the standard or Klever does not allow."""
    if not isinstance(context, Mapping):
        yield FieldViolation(where, "must be an object")
        return
    for name, value in context.items():
        if name not in _RULES:
            yield FieldViolation(f"{where}.{name}", f"is not supported: must be one of {', '.join(_RULES)}")
            continue
        is_allowed, why = _RULES[name]
        if not is_allowed(value):
            yield FieldViolation(f"{where}.{name}", why)


def check_hosts(value: Any, where: str) -> Iterator[FieldViolation]:
    """Yield ports of the node, and probes of other hosts."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in ("hostPort", "hostIP") or (name == "host" and inner):
                yield FieldViolation(f"{where}.{name}", "must not be set: it gives access to a node")
            yield from check_hosts(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from check_hosts(inner, f"{where}[{index}]")
