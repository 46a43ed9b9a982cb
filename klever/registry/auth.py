"""The permission that each request of the registry needs."""

from __future__ import annotations

from typing import Literal

from klever.auth import Resource

__all__ = ["Verb", "repository_resource"]

Verb = Literal["login", "pull", "push", "delete"]
"""`login`, for `/v2/`, only checks the credentials; listing repositories is a `pull`."""


def repository_resource(repository: str) -> Resource:
    """Return a repository, or all of them for an empty name. Its namespace is the project."""
    return Resource("Repository", repository.partition("/")[0], repository)
