"""TLS of the gateway, on real Envoy: who needs it, and what happens when its certificate is replaced."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from klever.cmd.certificates import self_signed
from klever.process import ProcessManager
from klever.routers.envoy import EnvoyRouter, Gateway, Tls
from tests.e2e.platform import until
from tests.unit.routers.test_envoy import BINARY, DESCRIPTORS, access_command, free_port

pytestmark = pytest.mark.envoy


@pytest.fixture
def certificate(tmp_path: Path, own_address: str) -> Tls:
    return self_signed(tmp_path / "tls", ("127.0.0.1", own_address))


@pytest.fixture(autouse=True)
async def gateway(tmp_path: Path, own_address: str, certificate: Tls) -> AsyncIterator[Gateway]:
    gateway = Gateway(
        host=own_address,
        port=free_port(),
        api=tmp_path / "api.sock",
        registry=tmp_path / "registry.sock",
        admin=tmp_path / "admin.sock",
        descriptors=DESCRIPTORS,
        access=tmp_path / "access.sock",
        tls=certificate,
    )
    (tmp_path / "token").write_text("secret")
    command = access_command(gateway.access, tmp_path / "token")
    router = EnvoyRouter(tmp_path / "envoy", gateway, ProcessManager(tmp_path / "processes"), BINARY, command)
    await router.start()
    yield gateway
    await router.stop()


async def status(url: str, certificate: Tls) -> int:
    trust = ssl.create_default_context(cafile=certificate.certificate)
    headers = {"Authorization": "Bearer secret"}
    async with aiohttp.ClientSession() as http, http.get(url, ssl=trust, headers=headers) as response:
        return response.status


async def test_beyond_loopback_it_takes_tls_only(gateway: Gateway, certificate: Tls) -> None:
    assert await status(gateway.url, certificate) == 200
    with pytest.raises(aiohttp.ClientConnectionError):
        await status(gateway.url.replace("https", "http"), certificate)


async def test_on_loopback_it_takes_both(gateway: Gateway, certificate: Tls) -> None:
    assert await status(gateway.local_url, certificate) == 200
    assert await status(gateway.local_url.replace("http", "https"), certificate) == 200


def test_it_offers_http2_and_no_tls_before_1_2(gateway: Gateway, certificate: Tls) -> None:
    trust = ssl.create_default_context(cafile=certificate.certificate)
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((gateway.host, gateway.port)) as sock,
        trust.wrap_socket(sock, server_hostname=gateway.host) as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(certificate.certificate)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection((gateway.host, gateway.port)) as sock, pytest.raises(ssl.SSLError, match="VERSION"):
        old.wrap_socket(sock, server_hostname=gateway.host)


async def test_a_certificate_that_is_replaced_is_used_at_once(
    gateway: Gateway, certificate: Tls, tmp_path: Path
) -> None:
    other = self_signed(tmp_path / "other", ("127.0.0.1", gateway.host))
    other.key.rename(certificate.key)
    assert await status(gateway.url, certificate) == 200  # a key alone changes nothing
    trusted = certificate.certificate.rename(tmp_path / "before.pem")
    other.certificate.rename(certificate.certificate)
    replaced = ssl.PEM_cert_to_DER_cert(certificate.certificate.read_text())
    until(lambda: ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((gateway.host, gateway.port))) == replaced)
    assert await status(gateway.url, certificate) == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await status(gateway.url, Tls(trusted, certificate.key))
