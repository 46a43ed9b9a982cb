"""The client on a Unix socket, where the platform's own registry listens for sandboxed tasks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from klever.auth.task_tokens import derive_key, sign
from klever.auth.token import token_access
from klever.errors import InvalidError, NotFoundError, PermissionDeniedError, UnavailableError
from klever.oci import mediatypes
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.registries import Credentials, Endpoint, Registries
from klever.registry.app import application
from klever.registry.metrics import Metrics
from klever.registry.registry import Registry
from klever.registry.server import RegistryServer

CONTENT = os.urandom(3 << 20)
BLOB = Descriptor.of(mediatypes.OCTET_STREAM, CONTENT)


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncIterator[Path]:
    """The real registry, listening on a socket."""
    registry = await Registry.open(tmp_path / "registry")
    app = application(registry, token_access("secret", anonymous=False), Metrics(CollectorRegistry()))
    server = RegistryServer(registry, app)
    yield Path(await server.start(tmp_path / "registry.sock", drain=0.1))
    await server.stop()
    await registry.close()


def endpoint(socket: Path, token: str = "secret") -> Endpoint:
    return Endpoint("", f"http+unix://{socket}", Credentials(token=token))


def push_and_pull(client: RegistryClient, directory: Path) -> bytes:
    """Push a small and a large blob and a manifest, look at everything, and pull the large one again."""
    layout = Layout(directory)
    config, layer = layout.put("c", b"{}"), layout.put("l", CONTENT)
    client.check()
    for blob in (config, layer):
        assert not client.has_blob("a/b", blob)
        client.put_blob("a/b", blob, layout.blob_path(blob.digest))
        assert client.has_blob("a/b", blob)
    manifest = Manifest(config, (layer,), mediatypes.IMAGE_MANIFEST).encode()
    digest = client.put_manifest("a/b", "v1", manifest, mediatypes.IMAGE_MANIFEST)
    client.put_manifest("a/b", "v1", manifest, mediatypes.IMAGE_MANIFEST, expected=digest)
    assert client.get_manifest("a/b", "v1").content == manifest
    assert client.tags("a/b") == ["v1"]
    path = layout.blob_path(BLOB.digest)
    path.unlink()
    with layout.writer(expected=BLOB.digest, size=BLOB.size) as writer:
        client.get_blob("a/b", BLOB, writer)
        writer.commit()
    return path.read_bytes()


async def test_everything_works_over_a_socket(socket: Path, tmp_path: Path) -> None:
    with RegistryClient(endpoint(socket)) as client:
        assert await asyncio.to_thread(push_and_pull, client, tmp_path / "layout") == CONTENT
        assert await asyncio.to_thread(client.repositories) == ["a/b"]


async def test_a_task_works_with_its_own_token(socket: Path, tmp_path: Path) -> None:
    expires = datetime.now(UTC) + timedelta(minutes=5)
    token = sign(derive_key("secret"), {"a/b": {"pull", "push"}}, expires)
    with RegistryClient(endpoint(socket, token)) as client:
        assert await asyncio.to_thread(push_and_pull, client, tmp_path / "layout") == CONTENT
        with pytest.raises(PermissionDeniedError):
            await asyncio.to_thread(client.get_manifest, "other/repository", "v1")
        with pytest.raises(PermissionDeniedError):
            await asyncio.to_thread(client.repositories)


async def test_an_absent_registry_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klever.oci.transfer._FIRST_PAUSE", 0.001)
    socket = tmp_path / "nobody.sock"
    with RegistryClient(endpoint(socket)) as client:
        with pytest.raises(UnavailableError, match=str(socket)):
            await asyncio.to_thread(client.get_manifest, "a/b", "v1")
        layout = Layout(tmp_path / "layout")
        with pytest.raises(UnavailableError), layout.writer(expected=BLOB.digest, size=BLOB.size) as writer:
            await asyncio.to_thread(client.get_blob, "a/b", BLOB, writer)


async def test_an_unknown_model_is_not_found(socket: Path) -> None:
    with RegistryClient(endpoint(socket)) as client, pytest.raises(NotFoundError):
        await asyncio.to_thread(client.get_manifest, "a/b", "v1")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Endpoint("", "http+unix://relative/registry.sock"),
        lambda: Endpoint("", "http+unix://"),
        lambda: Endpoint("", "http+unix:///" + "a" * 107),
        lambda: Endpoint("", "http+unix:///a\0b"),
        lambda: Endpoint("", "https+unix:///run/registry.sock"),
        lambda: Endpoint("", "unix:///run/registry.sock"),
        lambda: Endpoint("localhost", "http+unix:///run/registry.sock"),
        lambda: Registries.parse({"registries": {"x.example": {"url": "http+unix:///run/registry.sock"}}}),
        lambda: Registries.parse({"registries": {"x.example": {"mirror": "http+unix:///run/registry.sock"}}}),
        lambda: Registries.parse({"registries": {"": {"url": "http+unix:///run/registry.sock"}}}),
    ],
)
def test_only_the_platforms_registry_may_be_a_socket(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidError):
        make()
