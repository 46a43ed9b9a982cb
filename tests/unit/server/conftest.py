"""ModelService over a real registry, which can be slow, and who pushes to it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from klever.artifacts import model
from klever.auth.token import token_access
from klever.catalog.catalogue import Catalogue
from klever.catalog.embedded import EmbeddedCatalogue, Pushes
from klever.catalog.oci import OciCatalogue
from klever.controllers.pushes import ensure_namespace
from klever.oci import mediatypes
from klever.oci.client import RegistryClient
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor
from klever.oci.reference import Reference
from klever.oci.registries import Credentials, Endpoint, Registries
from klever.registry.app import application
from klever.registry.metrics import Metrics
from klever.registry.registry import Registry
from klever.registry.server import RegistryServer
from klever.server.models import ModelHandlers
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission

__all__ = ["Author"]

DATA = Path(__file__).parents[2] / "data" / "onnx"


class Author:
    """Who pushes models, and other things."""

    def __init__(self, layout: Layout, endpoint: Endpoint) -> None:
        self.layout = layout
        self.endpoint = endpoint

    async def push(self, reference: str, year: int = 2026) -> None:
        name = Reference.parse(reference)
        await asyncio.to_thread(model.save, DATA, name, self.layout, created=datetime(year, 1, 1, tzinfo=UTC))
        await asyncio.to_thread(self._send, name)

    def _send(self, name: Reference) -> None:
        with RegistryClient(self.endpoint) as client:
            model.push(name, self.layout, client)

    async def push_described(self, reference: str, described: str) -> Descriptor:
        """Push the model with further lines of its ormbfile.yaml; returns the descriptor of its manifest."""
        name, directory = Reference.parse(reference), self.layout.root.parent / "described"

        def send() -> Descriptor:
            shutil.copytree(DATA, directory, dirs_exist_ok=True)
            (directory / "ormbfile.yaml").write_text(f"format: ONNX\n{described}\n")
            saved = model.save(directory, name, self.layout, created=datetime(2026, 1, 1, tzinfo=UTC))
            self._send(name)
            return saved.manifest

        return await asyncio.to_thread(send)

    async def attach(
        self, repository: str, subject: Descriptor, artifact_type: str, content: bytes, annotations: dict[str, str]
    ) -> None:
        """Push a document that refers to a manifest."""

        def send() -> None:
            config, layer = self.layout.put(mediatypes.EMPTY, b"{}"), self.layout.put(artifact_type, content)
            manifest = {
                "schemaVersion": 2,
                "mediaType": mediatypes.IMAGE_MANIFEST,
                "artifactType": artifact_type,
                "config": config.to_json(),
                "layers": [layer.to_json()],
                "subject": subject.to_json(),
                "annotations": annotations,
            }
            with RegistryClient(self.endpoint) as client:
                for blob in (config, layer):
                    client.put_blob(repository, blob, self.layout.blob_path(blob.digest))
                written = json.dumps(manifest).encode()
                client.put_manifest(repository, str(Digest.of(written)), written, mediatypes.IMAGE_MANIFEST)

        await asyncio.to_thread(send)

    async def push_image(self, reference: str) -> None:
        """Push a container image, which Klever recognizes as not a model."""

        def send() -> None:
            name = Reference.parse(reference)
            config = self.layout.put("application/vnd.oci.image.config.v1+json", b"{}")
            manifest = {"schemaVersion": 2, "config": config.to_json(), "layers": []}
            with RegistryClient(self.endpoint) as client:
                client.put_blob(name.repository, config, self.layout.blob_path(config.digest))
                client.put_manifest(
                    name.repository, name.target, json.dumps(manifest).encode(), mediatypes.IMAGE_MANIFEST
                )

        await asyncio.to_thread(send)


@pytest.fixture
def awake() -> asyncio.Event:
    """While it is cleared, the registry takes requests and answers none."""
    event = asyncio.Event()
    event.set()
    return event


@pytest.fixture
def pushes() -> Pushes:
    return Pushes()


@pytest.fixture
async def registry(tmp_path: Path, pushes: Pushes) -> AsyncIterator[Registry]:
    registry = await Registry.open(tmp_path / "registry", listener=pushes.listen)
    yield registry
    await registry.close()


@pytest.fixture
async def endpoint(registry: Registry, awake: asyncio.Event) -> AsyncIterator[Endpoint]:
    @web.middleware
    async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
        await awake.wait()
        return await handler(request)

    app = application(registry, token_access("secret", anonymous=True), Metrics(CollectorRegistry()))
    app.middlewares.append(wait)
    server = RegistryServer(registry, app)
    address = await server.start(("127.0.0.1", 0))
    yield Endpoint("", f"http://{address}", credentials=Credentials(token="secret"))
    awake.set()
    await server.stop()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, "team")
    yield store
    await store.close()


@pytest.fixture
def registries(endpoint: Endpoint) -> Registries:
    return Registries.parse({"registries": {}}, platform=endpoint)


@pytest.fixture
def catalogue(tmp_path: Path, registry: Registry, pushes: Pushes, registries: Registries) -> EmbeddedCatalogue:
    return EmbeddedCatalogue(registry, pushes, OciCatalogue(registries, Layout(tmp_path / "metadata")))


@pytest.fixture
def models(store: SqliteStore, catalogue: Catalogue) -> ModelHandlers:
    return ModelHandlers(store, catalogue)


@pytest.fixture
def author(tmp_path: Path, endpoint: Endpoint) -> Author:
    return Author(Layout(tmp_path / "author"), endpoint)
