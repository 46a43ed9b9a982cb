"""Every way to a real API server that a kubeconfig can name."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from klever.api.kinds import SERVING
from klever.errors import FailedPreconditionError, PermissionDeniedError, UnauthenticatedError, UnavailableError
from klever.kube import KubeClient, KubeConfig
from klever.kube.kubeconfig import load_config
from tests.unit.kube.documents import document
from tests.unit.kube.faulty import FaultyServer, text

_OPENSSL = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1")


class Admin:
    """The administrator's kubeconfig in parts, to write others of them."""

    def __init__(self, kubeconfig: Path, tmp_path: Path) -> None:
        self._root = tmp_path
        given = yaml.safe_load(kubeconfig.read_text())
        self.cluster: dict[str, Any] = given["clusters"][0]["cluster"]
        self.authority = self._file(self.cluster, "certificate-authority")
        user: dict[str, Any] = given["users"][0]["user"]
        self.certificate, self.key = (self._file(user, name) for name in ("client-certificate", "client-key"))

    def _file(self, section: dict[str, Any], name: str) -> Path:
        """A file that the kubeconfig names, or made of what it holds itself."""
        if data := section.pop(f"{name}-data", ""):
            path = self._root / f"{name}-data"
            path.write_bytes(base64.b64decode(data))
            section[name] = str(path)
        return Path(section[name])

    def user(self, **more: Any) -> dict[str, Any]:
        return {"client-certificate": str(self.certificate), "client-key": str(self.key), **more}

    def config(self, user: dict[str, Any], **cluster: Any) -> KubeConfig:
        """`cluster` fields that are None are left out."""
        path = self._root / "config"
        path.write_text(json.dumps(document({**self.cluster, **cluster}, user)))
        return load_config(path)


@pytest.fixture
def admin(kubeconfig: Path, tmp_path: Path) -> Admin:
    return Admin(kubeconfig, tmp_path)


@asynccontextmanager
async def opened(config: KubeConfig) -> AsyncIterator[KubeClient]:
    client = await KubeClient.open(config)
    try:
        yield client
    finally:
        await client.close()


async def listed(config: KubeConfig) -> None:
    async with opened(config) as client:
        await client.list(SERVING, limit=1)


async def test_the_servers_name_may_be_another_than_its_address(admin: Admin) -> None:
    await listed(admin.config(admin.user(), **{"tls-server-name": "kubernetes"}))
    with pytest.raises(FailedPreconditionError, match=r"kubeconfig .*/config does not trust .*other.example"):
        await listed(admin.config(admin.user(), **{"tls-server-name": "other.example"}))


async def test_a_server_that_nobody_vouches_for(admin: Admin) -> None:
    with pytest.raises(FailedPreconditionError, match=r"kubeconfig .*/config does not trust"):
        await listed(admin.config(admin.user(), **{"certificate-authority": None}))
    unchecked = {"certificate-authority": None, "insecure-skip-tls-verify": True}
    await listed(admin.config(admin.user(), **unchecked))


async def test_a_proxy(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        asked.append(request.split(b"\r\n")[0])
        host, _, port = request.split()[1].decode().partition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, forth), pump(back, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        await listed(admin.config(admin.user(), **{"proxy-url": f"http://127.0.0.1:{port}"}))
    address = urlsplit(admin.cluster["server"]).netloc
    assert asked == [f"CONNECT {address} HTTP/1.1".encode()]


async def test_netrc_is_not_for_api_servers(admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kubectl: what it has for the host would stand beside the token."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UnauthenticatedError, match="renew them"):
        await listed(admin.config({"token": "it.was.good"}))


async def test_a_plugin_that_gives_a_certificate(admin: Admin, tmp_path: Path) -> None:
    status = {"clientCertificateData": admin.certificate.read_text(), "clientKeyData": admin.key.read_text()}
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    (tmp_path / "credential").write_text(json.dumps(credential))
    script = tmp_path / "plugin"
    script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/runs\ncat {tmp_path}/credential\n")
    script.chmod(0o755)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "interactiveMode": "Never"}
    async with opened(admin.config({"exec": plugin})) as client:
        await client.list(SERVING, limit=1)
        await client.list(SERVING, limit=1)
    assert (tmp_path / "runs").read_text() == "x\n"


async def test_for_whom_to_act(admin: Admin) -> None:
    with pytest.raises(PermissionDeniedError, match='User "jané" cannot list resource "servings"'):
        await listed(admin.config(admin.user(**{"as": "jané", "as-groups": ["nobodies", "others"]})))
    whole = {"as": "jane", "as-uid": "7", "as-groups": ["a", "system:masters"], "as-user-extra": {"a/b": ["c", "d"]}}
    async with opened(admin.config(admin.user(**whole))) as client:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        seen = await client.raw("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
    who = seen["status"]["userInfo"]
    assert (who["username"], who["uid"], who["extra"]) == ("jane", "7", {"a/b": ["c", "d"]})
    assert {"a", "system:masters"} <= set(who["groups"])


def sign(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a client certificate that no API server knows."""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    subprocess.run(
        [*_OPENSSL, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_a_client_certificate_that_is_renewed(admin: Admin, tmp_path: Path) -> None:
    certificate, key = sign(tmp_path, "jane")
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    async with opened(admin.config(user)) as client:
        with pytest.raises(UnauthenticatedError, match="renew them"):
            await client.list(SERVING, limit=1)
        certificate.write_bytes(admin.certificate.read_bytes())
        key.write_bytes(admin.key.read_bytes())
        await client.list(SERVING, limit=1)


async def test_a_service_account_of_a_pod(admin: Admin, kubeconfig: Path, tmp_path: Path) -> None:
    async with opened(load_config(kubeconfig)) as client:
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = "/api/v1/namespaces/default/serviceaccounts/default/token"
        token = (await client.raw("POST", path, body=request))["status"]["token"]
    (tmp_path / "token").write_text(token)
    (tmp_path / "ca.crt").write_bytes(admin.authority.read_bytes())
    address = urlsplit(admin.cluster["server"])
    environ = {
        "KUBECONFIG": str(tmp_path / "none"),
        "KUBERNETES_SERVICE_HOST": str(address.hostname),
        "KUBERNETES_SERVICE_PORT": str(address.port),
    }
    with pytest.raises(PermissionDeniedError, match='User "system:serviceaccount:default:default" cannot list'):
        await listed(load_config(environ=environ, account=tmp_path))


@pytest.mark.parametrize(
    ("user", "cluster", "said"),
    [
        ({"client-certificate": "garbage", "client-key": "garbage"}, {}, "client-certificate or client-key"),
        ({}, {"certificate-authority": "garbage"}, "certificate-authority"),
        ({}, {"certificate-authority-data": base64.b64encode(b"\xff").decode()}, "certificate-authority"),
    ],
)
async def test_certificates_that_are_none(
    admin: Admin, tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], said: str
) -> None:
    (tmp_path / "garbage").write_text("garbage")
    with pytest.raises(FailedPreconditionError, match=rf"^kubeconfig {tmp_path}/config: {said}"):
        await listed(admin.config(user, **cluster))


async def test_plain_text_where_it_speaks_tls(admin: Admin) -> None:
    server = admin.cluster["server"].replace("https:", "http:")
    with pytest.raises(FailedPreconditionError, match=r"HTTP request to an HTTPS server. \(are its address and scheme"):
        await listed(admin.config(admin.user(), server=server))


async def test_tls_where_it_speaks_plain_text(admin: Admin) -> None:
    async with FaultyServer(text("hello")) as server:
        with pytest.raises(UnavailableError, match=r"does not answer: .*SSL"):
            await listed(admin.config(admin.user(), server=server.url.replace("http:", "https:")))
