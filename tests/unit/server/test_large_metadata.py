"""Versions with as much metadata as the limits allow: a list holds no more of it than fits into a message."""

from __future__ import annotations

import asyncio

import pytest

from klever.artifacts.dialects import ormb
from klever.artifacts.metadata import ModelMetadata
from klever.catalog.embedded import EmbeddedCatalogue
from klever.errors import InvalidError
from klever.oci import mediatypes
from klever.oci.client import RegistryClient
from klever.oci.encoding import encode_json
from klever.oci.manifest import Manifest
from klever.registry.registry import Registry
from klever.server.models import ModelHandlers
from klever.v1alpha1 import model_service_pb2 as pb
from tests.unit.server.conftest import Author

pytestmark = pytest.mark.slow

COUNT = 24


async def push(registry: Registry, author: Author, repository: str, number: int) -> None:
    def blobs() -> Manifest:
        inputs = [{"name": f"{number:09}{n}" + "x" * 900, "size": [1], "dType": "float32"} for n in range(1_000)]
        document = {"format": "ONNX", "signature": {"inputs": inputs, "outputs": inputs[:1]}}
        layer = author.layout.put(ormb.LAYER, b"x")
        config = author.layout.put(ormb.CONFIG, encode_json(document))
        with RegistryClient(author.endpoint) as client:
            for blob in (layer, config):
                client.put_blob(repository, blob, author.layout.blob_path(blob.digest))
        return Manifest(config, (layer,))

    manifest = await asyncio.to_thread(blobs)
    await registry.put_manifest(repository, f"v{number:03}", manifest.encode(), mediatypes.IMAGE_MANIFEST)


async def test_versions_come_in_pages_that_fit(
    models: ModelHandlers, catalogue: EmbeddedCatalogue, author: Author, registry: Registry
) -> None:
    for number in range(COUNT):
        await push(registry, author, "team/large", number)
    token, tags = "", list[str]()
    while True:
        request = pb.ListModelVersionsRequest(project="team", model="large", page_token=token)
        page = await models.list_model_versions(request)
        assert 0 < page.ByteSize() < 4 << 20
        tags += [version.tag for version in page.items]
        if not (token := page.next_page_token):
            break
    assert tags == [f"v{number:03}" for number in range(COUNT)]
    assert catalogue._reader._versions._bytes <= 8 << 20


async def test_too_much_metadata_is_not_sorted(models: ModelHandlers, author: Author, registry: Registry) -> None:
    for number in range(COUNT):
        await push(registry, author, "team/large", number)
    with pytest.raises(InvalidError) as refused:
        await models.list_model_versions(
            pb.ListModelVersionsRequest(project="team", model="large", order_by="create_time desc")
        )
    assert refused.value.metadata == {"limit": "listed_bytes"}


async def test_models_come_in_pages_that_fit(models: ModelHandlers, author: Author, registry: Registry) -> None:
    for number in range(COUNT):
        await push(registry, author, f"team/m{number:03}", number)
    for _ in range(2):  # what is latest is looked up, then known
        token, names = "", list[str]()
        while True:
            page = await models.list_models(pb.ListModelsRequest(project="team", page_token=token))
            assert 0 < page.ByteSize() < 4 << 20
            names += [model.name for model in page.items]
            if not (token := page.next_page_token):
                break
        assert names == [f"m{number:03}" for number in range(COUNT)]


async def test_a_second_list_decodes_nothing(
    models: ModelHandlers,
    catalogue: EmbeddedCatalogue,
    author: Author,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(COUNT):
        await push(registry, author, "team/large", number)
    decoded = list[bytes]()
    decode = ormb.Ormb.decode

    def counted(self: ormb.Ormb, config: bytes) -> ModelMetadata:
        decoded.append(config)
        return decode(self, config)

    monkeypatch.setattr(ormb.Ormb, "decode", counted)
    request = pb.ListModelVersionsRequest(project="team", model="large")
    assert len(await every_version(models, request)) == COUNT
    assert len(set(decoded)) == len(decoded) == COUNT
    for version in await every_version(models, request):
        assert (version.input_count, version.output_count, version.HasField("signature")) == (1_000, 1, False)
        assert version.ByteSize() < 1_000
    await models.list_models(pb.ListModelsRequest())
    assert len(decoded) == COUNT
    request.view = pb.ModelVersion.FULL
    assert all(len(version.signature.inputs) == 1_000 for version in await every_version(models, request))
    request.view = 7  # type: ignore[assignment]  # not a value of the enum
    with pytest.raises(InvalidError):
        await models.list_model_versions(request)


async def every_version(models: ModelHandlers, request: pb.ListModelVersionsRequest) -> list[pb.ModelVersion]:
    found = list[pb.ModelVersion]()
    while True:
        page = await models.list_model_versions(request)
        assert 0 < page.ByteSize() < 4 << 20
        found += page.items
        request.page_token = page.next_page_token
        if not request.page_token:
            return found
