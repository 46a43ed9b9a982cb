"""The names of models and versions as users write them: `project/model[:tag|@digest]`."""

from __future__ import annotations

from klever.errors import InvalidError

__all__ = ["model_parts", "version_parts"]


def model_parts(name: str) -> tuple[str, str, str]:
    """Split `project/model[:tag|@digest]`. Raises `InvalidError`."""
    project, slash, rest = name.partition("/")
    if not slash:
        raise InvalidError(f"invalid model {name!r}: expected PROJECT/MODEL")
    separator = "@" if "@" in rest else ":"
    model, _, version = rest.partition(separator)
    return project, model, version


def version_parts(name: str) -> tuple[str, str, str]:
    """Split `project/model:tag` or `project/model@digest`. Raises `InvalidError`."""
    project, model, version = model_parts(name)
    if not version:
        raise InvalidError(f"invalid version {name!r}: expected PROJECT/MODEL:TAG")
    return project, model, version
