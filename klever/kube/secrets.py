"""Klever's own Secrets, which hold access to registries: no container of a user may read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from klever.errors import FieldViolation

__all__ = ["check_secrets", "own_secret"]

_SUFFIX: Final = ".klever"
_NAMES: Final = ("name", "secretName")


def own_secret(name: str) -> str:
    """Return the name of the Secret of a task or a workload."""
    return name + _SUFFIX


def check_secrets(value: Any, where: str) -> Iterator[FieldViolation]:
    """Yield a violation for each reference to one of Klever's own Secrets in a part of a pod."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _NAMES and isinstance(inner, str) and inner.endswith(_SUFFIX):
                yield FieldViolation(f"{where}.{name}", f"must not end in {_SUFFIX}: such Secrets belong to Klever")
            yield from check_secrets(inner, f"{where}.{name}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, inner in enumerate(value):
            yield from check_secrets(inner, f"{where}[{index}]")
