"""The configuration of a client: one API server and one user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Credentials", "KubeConfig", "check_header"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a request: an Authorization header, and a client certificate with its key (PEM)."""

    authorization: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    expires: float = float("inf")
    """The Unix time of their expiry."""


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """The configuration, made by `klever.kube.kubeconfig` from kubeconfig files or the service account of a pod."""

    server: str
    authority: bytes = b""
    """Certificates to trust, in PEM; empty for the system's."""
    insecure: bool = False
    tls_server_name: str = ""
    proxy: str = field(default="", repr=False)
    namespace: str = "default"
    credentials: Callable[[float], Credentials] = field(default=lambda _now: Credentials(), repr=False)
    """Returns credentials that are valid at a Unix time. It may block, because it reads files and runs plugins.

    Raises `FailedPreconditionError` if a file cannot be used, `UnauthenticatedError` if a plugin fails.
    """
    renewable: bool = False
    """Whether `credentials` may return new ones after the server rejected some."""
    impersonation: tuple[tuple[str, str], ...] = ()
    """Headers that name the user to act as."""
    context: str = ""
    origin: str = "the kubeconfig"
    """The source of the configuration, for messages."""


def check_header(value: str) -> str:
    """Return the value of an Authorization header. Raises ValueError without the value."""
    if not value.isascii() or not value.isprintable() or value.lower().strip() == "bearer":
        raise ValueError("the token must be one line of ASCII")
    return value
