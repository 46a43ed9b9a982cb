"""The content store: verified, atomic, shared between processes."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from klever.errors import ExhaustedError, IntegrityError, InvalidError, NotFoundError
from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def add(layout: Layout, name: str, content: bytes) -> Descriptor:
    with layout.adding():
        config, layer = layout.put("c", b"{}"), layout.put("l", content)
        manifest = layout.put(mediatypes.IMAGE_MANIFEST, Manifest(config, (layer,)).encode())
        layout.tag(name, manifest)
    return manifest


def write(layout: Layout, content: bytes, expected: Digest | None, size: int) -> None:
    with layout.writer(expected=expected, size=size) as writer:
        writer.write(content)
        writer.commit()


def test_it_is_an_image_layout(layout: Layout) -> None:
    manifest = add(layout, "localhost/a/b:v1", b"x")
    assert json.loads((layout.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((layout.root / "index.json").read_text()) == {
        "schemaVersion": 2,
        "mediaType": mediatypes.IMAGE_INDEX,
        "manifests": [
            {
                "mediaType": mediatypes.IMAGE_MANIFEST, "digest": manifest.digest, "size": manifest.size,
                "annotations": {mediatypes.REF_NAME: "localhost/a/b:v1"},
            }
        ],
    }  # fmt: skip
    assert layout.resolve("localhost/a/b:v1").digest == manifest.digest


def test_a_name_moves_and_goes(layout: Layout) -> None:
    add(layout, "a:v1", b"1")
    second = add(layout, "a:v1", b"2")
    assert [(name, entry.digest) for name, entry in layout.entries()] == [("a:v1", second.digest)]
    layout.untag("a:v1")
    for forget in (layout.untag, layout.resolve):
        with pytest.raises(NotFoundError, match="a:v1 not found in"):
            forget("a:v1")


@pytest.mark.parametrize(("expected", "size"), [(Digest.of(b"other"), 3), (None, 2), (None, 4), (Digest.of(b"abc"), 2)])
def test_a_blob_that_is_not_as_promised_leaves_nothing(layout: Layout, expected: Digest | None, size: int) -> None:
    with pytest.raises(IntegrityError):
        write(layout, b"abc", expected, size)
    assert not list((layout.root / "blobs/sha256").iterdir())


def test_an_aborted_write_leaves_nothing(layout: Layout) -> None:
    with layout.writer() as writer:
        writer.write(b"abc")
    assert not list((layout.root / "blobs/sha256").iterdir())


def test_a_flipped_bit_is_found_on_reading(layout: Layout) -> None:
    blob = layout.put("x", b"abc")
    layout.blob_path(blob.digest).write_bytes(b"abd")
    assert not layout.has(blob)
    layout.put("x", b"abc")
    layout.blob_path(blob.digest).write_bytes(b"abd")
    with pytest.raises(IntegrityError, match=blob.digest):
        layout.read(blob)
    with pytest.raises(InvalidError, match="the limit is 2"):
        layout.read(blob, limit=2)
    with pytest.raises(NotFoundError):
        layout.read(Descriptor.of("x", b"never stored"))


def test_a_large_damaged_blob_is_set_aside_by_who_reads_it(layout: Layout) -> None:
    content = bytes(5 << 20)
    blob = layout.put("x", content)
    layout.blob_path(blob.digest).write_bytes(bytes(len(content) - 1) + b"x")
    assert layout.has(blob)  # only its size is looked at
    with pytest.raises(IntegrityError), layout.verified(blob.digest) as source:
        assert source.read(3) == bytes(3)
    assert not layout.has(blob)
    assert [path.name for path in (layout.root / "damaged").iterdir()] == [f"sha256-{blob.digest.hex}"]
    layout.put("x", content)
    layout.verify(blob.digest)


def test_collection_takes_what_no_name_leads_to(layout: Layout) -> None:
    kept = add(layout, "a:v1", b"kept")
    add(layout, "b:v1", b"gone")
    (layout.root / "blobs/sha256/.partial-dead").write_bytes(b"x")
    layout.untag("b:v1")
    layout.collect()
    left = {path.name for path in layout.root.glob("blobs/*/*")}
    assert left == {kept.digest.hex, Digest.of(b"{}").hex, Digest.of(b"kept").hex}


def test_collection_waits_for_who_adds(layout: Layout) -> None:
    with layout.adding():
        blob = layout.put("x", b"not named yet")
        layout.collect()
        assert layout.has(blob)
    layout.collect()
    assert not layout.has(blob)


def _tag_many(root: Path, worker: int) -> None:
    for index in range(20):
        add(Layout(root), f"a/w{worker}:v{index}", os.urandom(64))


def test_writers_in_many_processes_lose_nothing(layout: Layout) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_tag_many, args=(layout.root, worker)) for worker in range(3)]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    assert [process.exitcode for process in workers] == [0, 0, 0]
    assert len(layout.entries()) == 60
    assert all(layout.read(entry) for _, entry in layout.entries())


def test_a_full_disk_is_said_and_leaves_nothing(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExhaustedError, match="the disk is full"):
        layout.put("x", b"abc")
    monkeypatch.undo()
    assert not list((layout.root / "blobs/sha256").iterdir())
    assert layout.has(layout.put("x", b"abc"))


def test_layouts_of_other_tools_are_read(layout: Layout) -> None:
    (layout.root / "index.json").write_text('{"schemaVersion":2,"manifests":[]}')
    assert layout.entries() == []
    (layout.root / "index.json").write_text("nonsense")
    with pytest.raises(InvalidError, match=r"index\.json is not valid JSON"):
        layout.entries()
