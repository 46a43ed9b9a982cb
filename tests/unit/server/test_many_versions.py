"""A model with very many versions: a page costs the manifests of that page."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from klever.artifacts.dialects import ormb
from klever.errors import InvalidError, NotFoundError
from klever.oci import mediatypes
from klever.oci.client import RegistryClient
from klever.oci.encoding import encode_json
from klever.oci.manifest import Descriptor, Manifest
from klever.registry.registry import Registry
from klever.server.models import ModelHandlers
from klever.v1alpha1 import model_service_pb2 as pb
from tests.unit.server.conftest import Author

pytestmark = pytest.mark.slow

TAGS = 3_000
PAGE = 50


async def fill(registry: Registry, author: Author, repository: str, count: int, media_type: str) -> None:
    """Push `count` versions, v0 first, whose manifests differ."""
    layer, config = await asyncio.to_thread(push_blobs, author, repository)
    config = Descriptor(media_type, config.digest, config.size)
    for start in range(0, count, 500):
        await asyncio.gather(
            *(
                registry.put_manifest(
                    repository,
                    f"v{number}",
                    Manifest(config, (layer,), annotations={"number": str(number)}).encode(),
                    mediatypes.IMAGE_MANIFEST,
                )
                for number in range(start, min(start + 500, count))
            )
        )


def push_blobs(author: Author, repository: str) -> tuple[Descriptor, Descriptor]:
    document = encode_json({"format": "ONNX", "directoryStructure": ["model/x"]})
    layer, config = author.layout.put(ormb.LAYER, b"x"), author.layout.put(ormb.CONFIG, document)
    with RegistryClient(author.endpoint) as client:
        for blob in (layer, config):
            client.put_blob(repository, blob, author.layout.blob_path(blob.digest))
    return layer, config


@pytest.fixture
def reads(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The manifests that are read."""
    found: list[str] = []
    manifest = registry.manifest

    def counted(repository: str, target: str) -> Any:
        found.append(target)
        return manifest(repository, target)

    monkeypatch.setattr(registry, "manifest", counted)
    return found


def versions(**fields: Any) -> pb.ListModelVersionsRequest:
    return pb.ListModelVersionsRequest(project="team", model="many", page_size=PAGE, **fields)


async def test_a_page_reads_its_own_manifests(
    models: ModelHandlers, author: Author, registry: Registry, reads: list[str]
) -> None:
    await fill(registry, author, "team/many", TAGS - 1, ormb.CONFIG)
    await author.push("team/many:w-newest")
    reads.clear()
    names = [*sorted(f"v{number}" for number in range(TAGS - 1)), "w-newest"]
    page = await models.list_model_versions(versions())
    assert [version.tag for version in page.items] == names[:PAGE]
    assert len(reads) == PAGE
    page = await models.list_model_versions(versions(page_token=page.next_page_token))
    assert [version.tag for version in page.items] == names[PAGE : 2 * PAGE]
    assert len(reads) == 2 * PAGE
    page = await models.list_model_versions(versions(page_token=str(TAGS - 1)))
    assert ([version.tag for version in page.items], page.next_page_token) == (names[-1:], "")
    assert len(reads) == 2 * PAGE + 1

    page = await models.list_model_versions(versions(filter="99"))
    assert [version.tag for version in page.items] == [name for name in names if "99" in name][:PAGE]
    await models.list_model_versions(versions())
    assert len(reads) <= 3 * PAGE + 1

    reads.clear()
    (model,) = (await models.list_models(pb.ListModelsRequest(project="team"))).items
    assert (model.version_count, model.latest.tag) == (TAGS, "w-newest")
    assert len(reads) <= 4
    await models.list_models(pb.ListModelsRequest(project="team"))
    await models.get_model(pb.GetModelRequest(project="team", model="many"))
    assert len(reads) <= 4

    reads.clear()
    with pytest.raises(InvalidError) as refused:
        await models.list_model_versions(versions(order_by="create_time"))
    assert (refused.value.reason, refused.value.metadata) == ("LIMIT_EXCEEDED", {"limit": "versions_by_time"})
    assert reads == []


async def test_other_artifacts_hide_no_model(
    models: ModelHandlers, author: Author, registry: Registry, reads: list[str]
) -> None:
    await author.push("team/many:model")
    await fill(registry, author, "team/many", 200, mediatypes.IMAGE_CONFIG)
    reads.clear()
    page = await models.list_model_versions(versions())
    assert ([version.tag for version in page.items], page.next_page_token) == (["model"], "")
    (model,) = (await models.list_models(pb.ListModelsRequest(project="team"))).items
    assert model.latest.tag == "model"
    assert len(reads) <= 1


async def test_the_latest_follows_its_tags(models: ModelHandlers, author: Author) -> None:
    async def latest() -> str:
        return (await models.get_model(pb.GetModelRequest(project="team", model="many"))).latest.tag

    await author.push("team/many:a", 2025)
    assert await latest() == "a"
    await author.push("team/many:b", 2026)
    assert await latest() == "b"
    await models.delete_model_version(pb.DeleteModelVersionRequest(project="team", model="many", version="b"))
    assert await latest() == "a"
    await models.delete_model_version(pb.DeleteModelVersionRequest(project="team", model="many", version="a"))
    with pytest.raises(NotFoundError):
        await latest()


async def test_a_version_that_cannot_be_read_is_left_out(
    models: ModelHandlers, author: Author, registry: Registry
) -> None:
    await author.push("team/many:good")
    layer, _ = await asyncio.to_thread(push_blobs, author, "team/many")
    broken = Manifest(Descriptor(ormb.CONFIG, layer.digest, layer.size), (layer,))
    await registry.put_manifest("team/many", "broken", broken.encode(), mediatypes.IMAGE_MANIFEST)
    page = await models.list_model_versions(versions())
    assert [version.tag for version in page.items] == ["good"]
    for order in ("create_time", "create_time desc"):
        page = await models.list_model_versions(versions(order_by=order))
        assert [version.tag for version in page.items] == ["good"]


async def test_a_damaged_manifest_hides_no_other_version(
    models: ModelHandlers, author: Author, registry: Registry, tmp_path: Path
) -> None:
    for year, name in enumerate(("team/many:good", "team/many:broken", "team/one:good"), 2025):
        await author.push(name, year)
    digest = registry.manifest("team/many", "broken").digest
    with apsw.Connection(str(tmp_path / "registry" / "registry.db")) as db:
        db.execute("UPDATE manifests SET content = substr(content, 2) WHERE digest = ?", (digest,))
    db.close()
    for order in ("", "create_time"):
        page = await models.list_model_versions(versions(order_by=order))
        assert [version.tag for version in page.items] == ["good"]
    found = await models.list_models(pb.ListModelsRequest())
    assert [(model.name, model.latest.tag) for model in found.items] == [("many", "good"), ("one", "good")]
    with pytest.raises(NotFoundError, match=digest):
        await models.get_model_version(pb.GetModelVersionRequest(project="team", model="many", version="broken"))


async def test_an_unknown_model_has_no_versions(models: ModelHandlers) -> None:
    for order in ("", "create_time"):
        with pytest.raises(NotFoundError):
            await models.list_model_versions(versions(order_by=order))
