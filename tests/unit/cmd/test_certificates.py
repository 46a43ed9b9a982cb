"""The gateway's certificate: what is made, when it is made anew, and what is refused."""

from __future__ import annotations

import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from klever.cmd.certificates import check_pair, fingerprint, self_signed
from klever.errors import FailedPreconditionError, InvalidError
from klever.routers.envoy import Tls

HOSTS = ("127.0.0.1", "localhost", "[::1]", "klever.example.com")
PAIR = Path(__file__).parents[2] / "data/tls/localhost.pem"


@pytest.fixture
def made(tmp_path: Path) -> Tls:
    return self_signed(tmp_path / "tls", HOSTS)


def certificate(tls: Tls) -> x509.Certificate:
    return x509.load_pem_x509_certificate(tls.certificate.read_bytes())


def test_it_is_for_every_name_and_signs_no_other(made: Tls) -> None:
    names = certificate(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "klever.example.com"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert not certificate(made).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    ssl.create_default_context(cafile=made.certificate)


def test_it_and_its_key_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        tls = self_signed(tmp_path / "tls", HOSTS)
    finally:
        os.umask(before)
    for path, mode in ((tls.certificate, 0o600), (tls.key, 0o600), (tls.key.parent, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_it_is_kept_while_it_is_good(made: Tls) -> None:
    before = made.certificate.read_bytes()
    assert self_signed(made.key.parent, HOSTS[:2]) == made  # fewer names are covered as well
    assert made.certificate.read_bytes() == before


@pytest.mark.parametrize("change", ["name", "expiry", "damage", "key"])
def test_it_is_made_anew(made: Tls, change: str) -> None:
    before = fingerprint(made.certificate)
    if change == "damage":
        made.certificate.write_text("damaged")
    if change == "key":
        made.key.unlink()
    hosts = (*HOSTS, "other.example.com") if change == "name" else HOSTS
    now = datetime.now(UTC) + timedelta(days=370 if change == "expiry" else 0)
    self_signed(made.key.parent, hosts, now)
    assert fingerprint(made.certificate) != before
    assert certificate(made).not_valid_after_utc > now + timedelta(days=365)
    check_pair(made.certificate, made.key)


def test_a_name_that_cannot_be_in_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"invalid host name 'größe\.example'"):
        self_signed(tmp_path / "tls", ("größe.example",))


def test_the_fingerprint_is_that_of_the_first_certificate(made: Tls, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_text(made.certificate.read_text() + PAIR.read_text())
    assert fingerprint(tmp_path / "chain.pem") == fingerprint(made.certificate)
    assert len(fingerprint(made.certificate).split(":")) == 32


def test_a_pair_is_checked_before_the_gateway_starts(made: Tls, tmp_path: Path) -> None:
    assert check_pair(made.certificate, made.key) == made
    assert check_pair(PAIR, PAIR) == Tls(PAIR, PAIR)
    with pytest.raises(FailedPreconditionError, match="must be a certificate and its key"):
        check_pair(PAIR, made.key)
    with pytest.raises(FailedPreconditionError, match=r"nowhere\.pem not found"):
        check_pair(made.certificate, tmp_path / "nowhere.pem")
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(FailedPreconditionError, match="is encrypted"):
        check_pair(made.certificate, made.key)
