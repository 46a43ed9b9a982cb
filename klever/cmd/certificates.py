"""The gateway's certificate: checks a given one, or makes one for `--tls-self-signed`."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from klever.disk import disk_errors, write_private
from klever.errors import FailedPreconditionError, InvalidError
from klever.routers.envoy import Tls

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["check_pair", "fingerprint", "self_signed"]

_VALID: Final = timedelta(days=397)
_RENEWED_BEFORE: Final = timedelta(days=30)
_CLOCK_SKEW: Final = timedelta(hours=1)


def check_pair(certificate: Path, key: Path) -> Tls:
    """Return a given certificate and key. Raises `FailedPreconditionError` if they cannot be used."""

    def no_password() -> str:
        raise FailedPreconditionError(f"{key} is encrypted: the gateway needs a key without a password")

    for path in (certificate, key):
        if not path.is_file():
            raise FailedPreconditionError(f"{path} not found: --tls-cert and --tls-key must name PEM files")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, no_password)
    except OSError as error:  # includes ssl.SSLError
        raise FailedPreconditionError(
            f"{certificate} and {key} must be a certificate and its key in PEM: {error}"
        ) from error
    return Tls(certificate.absolute(), key.absolute())


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 fingerprint of the first certificate in a PEM file, in the form of openssl and browsers."""
    first, end, _ = certificate.read_text().partition(ssl.PEM_FOOTER)
    der = ssl.PEM_cert_to_DER_cert(first[first.index(ssl.PEM_HEADER) :] + end)
    return hashlib.sha256(der).digest().hex(":").upper()


def self_signed(directory: Path, hosts: Iterable[str], now: datetime | None = None) -> Tls:
    """Return the certificate in `directory`. Renew it if it lacks a host, is damaged, or expires within 30 days.

    `hosts` are host names and IP addresses. Raises `InvalidError` that names a host that cannot be in a certificate.
    """
    names = _general_names(hosts)
    tls = Tls(directory / "cert.pem", directory / "key.pem")
    now = now or datetime.now(UTC)
    with disk_errors(directory):
        directory.mkdir(mode=0o700, exist_ok=True)
        if not _still_good(tls, names, now):
            _make(tls, names, now)
    return tls


def _general_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    from cryptography import x509

    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host.strip("[]"))))
        except ValueError:
            try:
                names.append(x509.DNSName(host))
            except ValueError as error:
                raise InvalidError(f"invalid host name {host!r}: must be ASCII (punycode)") from error
    return names


def _still_good(tls: Tls, names: list[x509.GeneralName], now: datetime) -> bool:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        check_pair(tls.certificate, tls.key)
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound, FailedPreconditionError):
        return False
    return set(names) <= set(covered) and certificate.not_valid_after_utc - now > _RENEWED_BEFORE


def _make(tls: Tls, names: list[x509.GeneralName], now: datetime) -> None:
    """Write a new key, then its certificate."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate = _signed(key, names, now).public_bytes(serialization.Encoding.PEM)
    write_private(tls.key, pem.decode())
    write_private(tls.certificate, certificate.decode())


def _signed(key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName], now: datetime) -> x509.Certificate:
    """Return a certificate that clients can trust directly and that cannot sign others (RFC 5280, section 4.2)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "klever")])
    public = key.public_key()
    builder = x509.CertificateBuilder(subject, subject, public, x509.random_serial_number())
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.SubjectAlternativeName(names), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),
    )
    builder = builder.not_valid_before(now - _CLOCK_SKEW).not_valid_after(now + _VALID)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256())
