"""One API server and one user: what a client needs to know of a cluster, however it was configured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Credentials", "KubeConfig", "check_header"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request presents: an Authorization header, and a client certificate with its key (PEM)."""

    authorization: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    expires: float = float("inf")
    """Unix time."""


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """`klever.kube.kubeconfig` makes it from kubeconfig files, or from the service account of a pod."""

    server: str
    authority: bytes = b""
    """Certificates in PEM; empty for the system's."""
    insecure: bool = False
    tls_server_name: str = ""
    proxy: str = field(default="", repr=False)
    namespace: str = "default"
    credentials: Callable[[float], Credentials] = field(default=lambda _now: Credentials(), repr=False)
    """Returns credentials that are valid at a Unix time. It may block: it reads files and runs plugins.

    Raises `FailedPreconditionError` if a file cannot be used, `UnauthenticatedError` if a plugin fails.
    """
    renewable: bool = False
    """Whether `credentials` may return others after the server refused some."""
    impersonation: tuple[tuple[str, str], ...] = ()
    """Headers that name the user to act as."""
    context: str = ""
    origin: str = "the kubeconfig"
    """Where this was read, for messages."""


def check_header(value: str) -> str:
    """Return the value of an Authorization header, or raise ValueError, without the value."""
    if not value.isascii() or not value.isprintable() or value.lower().strip() == "bearer":
        raise ValueError("the token must be one line of ASCII")
    return value
