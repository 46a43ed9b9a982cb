"""References to artifacts: `[HOST/]REPOSITORY[:TAG][@DIGEST]`.

The grammar is that of the distribution project (github.com/distribution/reference, regexp.go). As in Docker, the first
component is a host if it contains a `.` or a `:`, or is `localhost`. A reference without a host means the platform's
registry; a default host is never filled in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Self

from klever.errors import InvalidError
from klever.oci.digest import Digest

__all__ = ["Reference", "is_repository", "is_tag"]

_DOMAIN_PART: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST: Final = re.compile(rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::(?P<port>[0-9]+))?")
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MAX_NAME: Final = 255


def is_repository(text: str) -> bool:
    """Whether `text` is a repository name: lower-case components joined by `/`, at most 255 characters."""
    return len(text) <= _MAX_NAME and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether `text` is a tag: up to 128 of letters, digits, `_`, `.`, `-`, not beginning with `.` or `-`."""
    return _TAG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Reference:
    """The address of an artifact. `host`, `tag` and `digest` are empty if the text has none."""

    repository: str
    host: str = ""
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `text`. Raises `InvalidError` that names the invalid part."""
        rest, has_digest, digest = text.partition("@")
        host, rest = _split_host(rest)
        repository, has_tag, tag = rest.partition(":")
        if host and not _is_host(host):
            raise _invalid(text, f"invalid registry host {host!r}")
        if not _REPOSITORY.fullmatch(repository):
            raise _invalid(
                text, f"invalid repository name {repository!r}: use lower-case letters, digits, and . _ - between"
            )
        if len(host) + len(repository) + 1 > _MAX_NAME:
            raise _invalid(text, f"the name must have at most {_MAX_NAME} characters")
        if has_tag and not is_tag(tag):
            raise _invalid(text, f"invalid tag {tag!r}: use at most 128 letters, digits and . _ -")
        return cls(repository, host, tag, _parse_digest(text, digest) if has_digest else None)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """The host and repository, without tag and digest."""
        return f"{self.host}/{self.repository}" if self.host else self.repository

    @property
    def project(self) -> str:
        """The first component of the repository: the namespace that the model belongs to."""
        return self.repository.partition("/")[0]

    @property
    def model(self) -> str:
        """The repository below its project; empty if it has only one component."""
        return self.repository.partition("/")[2]

    @property
    def target(self) -> str:
        """The target for the registry: the digest, else the tag, else `latest` as in Docker."""
        return self.digest or self.tag or "latest"

    def with_tag(self, tag: str) -> Self:
        """Return the same repository with another tag and no digest."""
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> Self:
        """Return the same repository with a digest and no tag."""
        return replace(self, tag="", digest=digest)


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and len(match["port"] or "") <= 5 and int(match["port"] or 0) < 2**16


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", name


def _parse_digest(text: str, digest: str) -> Digest:
    try:
        return Digest.parse(digest)
    except InvalidError as error:
        raise _invalid(text, error.message) from error


def _invalid(text: str, why: str) -> InvalidError:
    return InvalidError(f"invalid reference {text!r}: {why}", reason="REFERENCE_INVALID")
