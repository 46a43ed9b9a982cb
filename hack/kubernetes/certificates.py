"""The certificates of a control plane, by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["make_certificates", "sign"]

_DAYS = "30"


def make_certificates(directory: Path) -> None:
    """Make the authority, the API server's certificate, the service accounts' key and the users of a control plane."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _openssl(directory, "genrsa", "-out", "accounts.key", "2048")
    _key(directory, "ca")
    _openssl(directory, "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-days", _DAYS, "-out", "ca.crt")
    names = "DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1"
    sign(directory, "apiserver", "/CN=kube-apiserver", f"extendedKeyUsage=serverAuth\nsubjectAltName={names}")
    sign(directory, "admin", "/O=system:masters/CN=admin")
    sign(directory, "kube-controller-manager", "/CN=system:kube-controller-manager")


def sign(directory: Path, name: str, subject: str, extensions: str = "extendedKeyUsage=clientAuth") -> None:
    """Make NAME.key and NAME.crt for a subject such as `/O=group/CN=user`."""
    _key(directory, name)
    _openssl(directory, "req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
    (directory / f"{name}.ext").write_text(f"keyUsage=critical,digitalSignature\n{extensions}\n")
    authority = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", _DAYS)
    files = ("-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", f"{name}.ext")
    _openssl(directory, "x509", "-req", *authority, *files)


def _key(directory: Path, name: str) -> None:
    _openssl(directory, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
