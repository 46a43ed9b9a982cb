"""What ormb and the jobs do with models, without a registry."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from klever.artifacts import model
from klever.artifacts.dialects import ormb
from klever.errors import AlreadyExistsError, ExhaustedError, InvalidError, NotFoundError
from klever.formats import Signature, Tensor
from klever.oci import mediatypes
from klever.oci.layout import Layout
from klever.oci.manifest import Manifest
from klever.oci.reference import Reference
from tests.errors import because

SHARED = Path(os.environ.get("KLEVER_SHARED", Path(__file__).parents[3].parent / "shared"))
NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
REF = Reference.parse("vision/add:v1")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "cache")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHARED / "models" / "onnx", tmp_path / "add"))


def save(directory: Path, layout: Layout, reference: Reference = REF) -> model.SavedModel:
    return model.save(directory, reference, layout, created=NOW)


def test_saved_and_exported_is_the_same(directory: Path, layout: Layout, tmp_path: Path) -> None:
    saved = save(directory, layout)
    assert (saved.format, saved.metadata.created, saved.layers) == ("ONNX", "2024-05-01T12:00:00Z", 1)
    exported = model.export(REF, layout, tmp_path / "out")
    assert exported == saved
    assert (tmp_path / "out/model/model.onnx").read_bytes() == (directory / "model/model.onnx").read_bytes()
    assert yaml.safe_load((tmp_path / "out/ormbfile.yaml").read_text()) == {
        "author": "chenjun <chenjun@caicloud.io>", "created": "2024-05-01T12:00:00Z", "format": "ONNX",
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model", "ormbfile.yaml"]
    again = save(tmp_path / "out", layout, Reference.parse("vision/add:again"))
    assert again.manifest.digest == saved.manifest.digest


@settings(max_examples=15, deadline=None)
@given(
    content=st.dictionaries(
        st.text("abc/_.-é ", min_size=1, max_size=40).filter(lambda x: x.strip("/. ") == x and "//" not in x),
        st.binary(max_size=5000), min_size=1, max_size=6,
    ),
    labels=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=3),
)  # fmt: skip
def test_any_files_and_labels_come_back(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], labels: dict[str, str]
) -> None:
    base = tmp_path_factory.mktemp("model")
    kept = {}
    for name, blob in content.items():
        path = base / "in/model" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(blob)
        except OSError:
            continue  # one name is a directory of another
        kept[str(path.relative_to(base / "in"))] = blob
    fields = {"format": "Others", "labels": labels}
    (base / "in/ormbfile.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    layout = Layout(base / "cache")
    metadata = save(base / "in", layout).metadata
    assert dict(metadata.labels) == labels
    model.export(REF, layout, base / "out")
    found = {str(x.relative_to(base / "out")): x.read_bytes() for x in (base / "out/model").rglob("*") if x.is_file()}
    assert found == kept
    again = save(base / "out", layout, Reference.parse("vision/add:again"))
    assert again.metadata == metadata


def test_without_ormbfile_the_format_is_recognised_and_written(directory: Path, layout: Layout) -> None:
    (directory / "ormbfile.yaml").unlink()
    assert save(directory, layout).format == "ONNX"
    assert (directory / "ormbfile.yaml").read_text() == "format: ONNX\n"


@pytest.mark.parametrize(
    ("ormbfile", "message"),
    [
        ("format: SavedModel", "saved_model.pb"),
        ("format: Nonsense", "Nonsense"),
        ("format: [ONNX]", "ormbfile.yaml: format: must be text"),
    ],
)
def test_a_directory_that_is_not_as_it_says(directory: Path, layout: Layout, ormbfile: str, message: str) -> None:
    (directory / "ormbfile.yaml").write_text(ormbfile)
    with pytest.raises(InvalidError, match=message):
        save(directory, layout)
    assert not layout.root.exists()


def test_a_directory_that_is_none(tmp_path: Path, layout: Layout) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        save(tmp_path / "nowhere", layout)
    with pytest.raises(InvalidError, match="model"):
        save(tmp_path, layout)


def test_no_tag_means_latest_and_no_digest_can_be_chosen(directory: Path, layout: Layout) -> None:
    saved = save(directory, layout, Reference.parse("vision/add"))
    assert str(saved.reference) == "vision/add:latest"
    assert model.inspect(Reference.parse("vision/add"), layout) == saved
    with pytest.raises(InvalidError, check=because("REFERENCE_INVALID")):
        save(directory, layout, REF.with_digest(saved.manifest.digest))


def test_a_rewritten_config_keeps_content_and_everything_else(directory: Path, layout: Layout) -> None:
    saved = save(directory, layout)
    signature = Signature((Tensor("X", (1, 5), "float32"),), (Tensor("Z", (1, 5), "float32"),), {"Add": 1})
    changed = model.rewrite(REF, layout, replace(saved.metadata, signature=signature))
    assert changed.digest == saved.digest
    assert changed.manifest != saved.manifest
    assert model.inspect(REF, layout).metadata.signature == signature
    assert replace(changed.metadata, signature=None) == saved.metadata


def test_names_are_listed_given_and_taken(directory: Path, layout: Layout) -> None:
    saved = save(directory, layout)
    other = Reference.parse("localhost:5000/vision/add:v2")
    model.tag(REF, other, layout)
    layout.tag("not ours", layout.put("x", b"{}"))
    assert [str(found.reference) for found in model.models(layout)] == [str(other), str(REF)]
    model.remove(REF, layout)
    assert model.inspect(other, layout).digest == saved.digest
    model.remove(other, layout)
    assert not layout.blob_path(saved.digest).exists()
    for missing in (lambda: model.remove(REF, layout), lambda: model.tag(REF, other, layout)):
        with pytest.raises(NotFoundError, match="vision/add:v1 not found in"):
            missing()


def test_export_replaces_only_when_asked(directory: Path, layout: Layout) -> None:
    save(directory, layout)
    (directory / "model/extra").write_bytes(b"mine")
    with pytest.raises(AlreadyExistsError, match="model already exists"):
        model.export(REF, layout, directory)
    assert (directory / "model/extra").exists()
    model.export(REF, layout, directory, replace=True)
    assert sorted(path.name for path in (directory / "model").iterdir()) == ["model.onnx"]


def test_a_failed_export_leaves_what_was_there(layout: Layout, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("model/good"))
        tar.addfile(tarfile.TarInfo("../evil"))
    layer = layout.put(ormb.LAYER, archive.getvalue())
    manifest = Manifest(layout.put(ormb.CONFIG, b'{"format":"ONNX"}'), (layer,))
    layout.tag(str(REF), layout.put(mediatypes.IMAGE_MANIFEST, manifest.encode()))
    (tmp_path / "out/model").mkdir(parents=True)
    (tmp_path / "out/model/mine").write_bytes(b"mine")
    with pytest.raises(InvalidError, check=because("ARCHIVE_UNSAFE")):
        model.export(REF, layout, tmp_path / "out", replace=True)
    assert [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")] == [
        "model",
        "model/mine",
    ]


def test_an_export_that_finds_no_room_leaves_what_was_there(
    directory: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(directory, layout)
    (directory / "ormbfile.yaml").write_text("format: ONNX\nauthor: me\n")
    (directory / "model/mine").write_bytes(b"mine")
    there = {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")}

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExhaustedError):
        model.export(REF, layout, directory, replace=True)
    assert {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")} == there


@pytest.mark.parametrize(("name", "kind"), [("kit", "a KitOps ModelKit"), ("modctl", "a ModelPack artifact")])
def test_an_artifact_of_another_tool_is_named(tmp_path: Path, name: str, kind: str) -> None:
    layout = Layout(Path(shutil.copytree(SHARED / "artifacts" / name, tmp_path / "copy")))
    layout.tag(str(REF), layout.resolve("v1"))
    with pytest.raises(InvalidError, match=f"vision/add:v1 is {kind}"):
        model.inspect(REF, layout)
