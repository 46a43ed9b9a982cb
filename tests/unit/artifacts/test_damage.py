"""A model whose blobs were damaged in the client's own layout: refused, and whole again after the next pull."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from klever.artifacts import model
from klever.errors import IntegrityError
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.oci.manifest import Manifest
from klever.oci.reference import Reference
from klever.oci.registries import Credentials, Endpoint
from tests.unit.registry.client import TOKEN, serving

REF = Reference.parse("vision/add:v1")
WEIGHTS = Random(21).randbytes(6 << 20)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[RegistryClient]:
    async with serving(tmp_path / "registry") as served:
        endpoint = Endpoint("", f"http://{served.client.address}", Credentials(token=TOKEN))
        with RegistryClient(endpoint) as client:
            yield client


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """One that holds the model."""
    (tmp_path / "add/model").mkdir(parents=True)
    (tmp_path / "add/model/model.onnx").write_bytes(WEIGHTS)
    (tmp_path / "add/ormbfile.yaml").write_text("format: ONNX\n")
    layout = Layout(tmp_path / "cache")
    model.save(tmp_path / "add", REF, layout, created=datetime.now(UTC))
    return layout


def layer(layout: Layout) -> Path:
    manifest = Manifest.parse(layout.read(layout.resolve(str(REF))))
    return layout.blob_path(manifest.layers[0].digest)


def config(layout: Layout) -> Path:
    manifest = Manifest.parse(layout.read(layout.resolve(str(REF))))
    return layout.blob_path(manifest.config.digest)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def end(path: Path) -> None:
    """Damage gzip's own header: what reads the archive fails first."""
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, end])
@pytest.mark.parametrize("blob", [layer, config])
async def test_a_damaged_blob_is_fetched_again(
    client: RegistryClient,
    layout: Layout,
    tmp_path: Path,
    blob: Callable[[Layout], Path],
    damage: Callable[[Path], None],
) -> None:
    await asyncio.to_thread(model.push, REF, layout, client)
    path = blob(layout)
    damage(path)
    with pytest.raises(IntegrityError):
        model.export(REF, layout, tmp_path / "out")
    assert not (tmp_path / "out/model").exists()
    await asyncio.to_thread(model.pull, REF, layout, client)
    assert path.exists()
    model.export(REF, layout, tmp_path / "out")
    assert (tmp_path / "out/model/model.onnx").read_bytes() == WEIGHTS


async def test_a_damaged_config_is_fetched_by_a_pull_alone(client: RegistryClient, layout: Layout) -> None:
    await asyncio.to_thread(model.push, REF, layout, client)
    flip(config(layout))
    pulled = await asyncio.to_thread(model.pull, REF, layout, client)
    assert pulled.metadata.format == "ONNX"


async def test_a_damaged_blob_is_not_pushed(client: RegistryClient, layout: Layout) -> None:
    path = layer(layout)
    shutil.copy(path, path.with_name("sound"))
    flip(path)
    with pytest.raises(IntegrityError):
        await asyncio.to_thread(model.push, REF, layout, client)
    assert not path.exists()
    path.with_name("sound").replace(path)
    await asyncio.to_thread(model.push, REF, layout, client)
