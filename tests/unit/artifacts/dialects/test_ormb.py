"""The ORMB dialect against what the original tool wrote."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from klever.artifacts.dialect import Dialect
from klever.artifacts.dialects import detect, ormb
from klever.artifacts.metadata import ModelMetadata
from klever.artifacts.ormbfile import read_ormbfile
from klever.errors import IntegrityError, InvalidError
from klever.limits import Limits
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.progress import no_progress
from tests.contract.dialect import DialectContract

SHARED = Path(os.environ.get("KLEVER_SHARED", Path(__file__).parents[4].parent / "shared"))
ORIGINALS = ["onnx", "pmml", "savedmodel"]
ORMB = ormb.Ormb()
MODELS = [*ORIGINALS, "caffe", "graphdef", "h5", "mxnetparams", "netdef", "torchscript"]


class TestOrmb(DialectContract):
    @pytest.fixture
    def dialect(self) -> Dialect:
        return ORMB


def original(name: str) -> tuple[Layout, Manifest]:
    layout = Layout(SHARED / "artifacts" / f"ormb-{name}")
    return layout, Manifest.parse(layout.read(layout.resolve("v1")))


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }  # fmt: skip


def build(directory: Path, layout: Layout) -> Manifest:
    metadata = read_ormbfile(directory / "ormbfile.yaml") or ModelMetadata()
    metadata = replace(metadata, created=metadata.created or "0001-01-01T00:00:00Z")
    return ORMB.build(directory, metadata, layout, no_progress)


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_originals_are_read(tmp_path: Path, name: str) -> None:
    layout, manifest = original(name)
    assert manifest.media_type == ""
    assert detect(manifest, name).name == "ormb"
    names = ORMB.unpack(manifest, layout, tmp_path, Limits())
    assert names == list(ORMB.read_metadata(manifest, layout).files)
    assert files(tmp_path / "model") == files(SHARED / "models" / name / "model")


@pytest.mark.parametrize("name", ORIGINALS)
def test_config_and_manifest_are_the_originals_bytes(tmp_path: Path, name: str) -> None:
    theirs = original(name)[1]
    ours = build(SHARED / "models" / name, Layout(tmp_path))
    assert ours.config == theirs.config
    same_layer = Manifest(ours.config, theirs.layers)
    assert Digest.of(same_layer.encode()) == original(name)[0].resolve("v1").digest


@pytest.mark.parametrize("name", MODELS)
def test_the_original_reads_saved_models(tmp_path: Path, name: str) -> None:
    layout = Layout(tmp_path / "layout")
    manifest = build(SHARED / "models" / name, layout)
    assert (manifest.config.media_type, manifest.media_type) == (ormb.CONFIG, "")
    assert [layer.media_type for layer in manifest.layers] == [ormb.LAYER]
    with layout.open(manifest.layers[0].digest) as blob, tarfile.open(fileobj=blob, mode="r:gz") as tar:
        members = tar.getmembers()
    assert all(member.isfile() and member.name.startswith("model/") for member in members)
    assert [member.name for member in members] == list(ORMB.read_metadata(manifest, layout).files)
    ORMB.unpack(manifest, layout, tmp_path, Limits())
    assert files(tmp_path / "model") == files(SHARED / "models" / name / "model")
    assert build(SHARED / "models" / name, layout) == manifest


def test_other_metadata_keeps_content_and_annotations(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    before = Manifest(layout.put(ormb.CONFIG, b'{"format":"ONNX"}'), (), "", "", {"team": "vision"})
    after = ORMB.with_metadata(before, replace(ORMB.read_metadata(before, layout), author="me"), layout)
    assert layout.read(after.config) == b'{"author":"me","format":"ONNX"}'
    assert (after.layers, after.annotations) == (before.layers, before.annotations)


def test_an_unpackable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="model is missing"):
        build(tmp_path, Layout(tmp_path / "layout"))
    (tmp_path / "model").mkdir()
    with pytest.raises(InvalidError, match="contains no files"):
        build(tmp_path, Layout(tmp_path / "layout"))
    (tmp_path / "model" / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidError, match="model/link"):
        build(tmp_path, Layout(tmp_path / "layout"))


def test_a_changed_blob_is_found_on_export(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    shutil.copytree(SHARED / "models" / "onnx", tmp_path / "onnx")
    manifest = build(tmp_path / "onnx", layout)
    path = layout.blob_path(manifest.layers[0].digest)
    path.write_bytes(path.read_bytes()[:4] + b"\1" + path.read_bytes()[5:])  # gzip's time: harmless to its checksum
    with pytest.raises(IntegrityError):
        ORMB.unpack(manifest, layout, tmp_path, Limits())


def test_files_outside_model_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("elsewhere"))
    layout = Layout(tmp_path / "layout")
    manifest = Manifest(layout.put(ormb.CONFIG, b"{}"), (layout.put(ormb.LAYER, out.getvalue()),))
    with pytest.raises(InvalidError, match="'elsewhere' must be below model/"):
        ORMB.unpack(manifest, layout, tmp_path, Limits())


@pytest.mark.parametrize(("name", "kind"), [("kit", "a KitOps ModelKit"), ("modctl", "a ModelPack artifact")])
def test_other_dialects_are_named(name: str, kind: str) -> None:
    layout = Layout(SHARED / "artifacts" / name)
    manifest = Manifest.parse(layout.read(layout.entries()[0][1]))
    with pytest.raises(InvalidError, match=f"{name} is {kind}"):
        detect(manifest, name)


@pytest.mark.parametrize("layers", [(), ("a", "b"), ("application/x",)])
def test_layers_must_be_one_of_the_right_type(layers: tuple[str, ...]) -> None:
    manifest = Manifest(Descriptor.of(ormb.CONFIG, b""), tuple(Descriptor.of(media_type, b"") for media_type in layers))
    with pytest.raises(InvalidError, match="one layer"):
        ORMB.content(manifest)
