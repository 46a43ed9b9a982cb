"""The certificates of a cluster, by openssl."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["AGGREGATOR", "NODE", "make_certificates", "sign"]

NODE = "node"
"""The name of the one node."""

AGGREGATOR = "aggregator"
"""The user as which the API server calls the APIs behind it."""

_DAYS = 30
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_USERS = {
    "admin": "/O=system:masters/CN=admin",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
}
_NODE_USERS = {
    "kube-apiserver": "/O=system:masters/CN=kube-apiserver-kubelet-client",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE}",
    "kube-proxy": "/CN=system:kube-proxy",
    AGGREGATOR: f"/CN={AGGREGATOR}",
}
"""By component; the API server is a user of the kubelet's."""


def make_certificates(directory: Path, addresses: Sequence[str], *, pods: bool) -> list[str]:
    """Make the authority, the API server's certificate for its addresses, the service accounts' key, and the users.

    Returns the users: the administrator and the components; those of a node only where there are pods.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _openssl(directory, "genrsa", "-out", "accounts.key", "2048")
    _key(directory, "ca")
    _openssl(
        directory, "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-days", str(_DAYS), "-out", "ca.crt"
    )
    names = ",".join([*(f"DNS:{name}" for name in _NAMES), *(f"IP:{address}" for address in addresses)])
    sign(directory, "apiserver", "/CN=kube-apiserver", f"extendedKeyUsage=serverAuth\nsubjectAltName={names}")
    subjects = {**_USERS, **(_NODE_USERS if pods else {})}
    for user, subject in subjects.items():
        sign(directory, user, subject)
    return list(subjects)


def sign(
    directory: Path, name: str, subject: str, extensions: str = "extendedKeyUsage=clientAuth", *, days: int = _DAYS
) -> None:
    """Make NAME.key and NAME.crt for a subject such as `/O=group/CN=user`; with -1 `days` it ended yesterday."""
    _key(directory, name)
    _openssl(directory, "req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
    (directory / f"{name}.ext").write_text(f"keyUsage=critical,digitalSignature\n{extensions}\n")
    authority = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", str(days))
    files = ("-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", f"{name}.ext")
    _openssl(directory, "x509", "-req", *authority, *files)


def _key(directory: Path, name: str) -> None:
    _openssl(directory, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
