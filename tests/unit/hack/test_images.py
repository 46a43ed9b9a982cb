"""Image archives that are made without an engine."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from hack.kubernetes.images import write_image


def test_an_archive_holds_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "leaf").write_text("green")
    archive = tmp_path / "a.tar"
    write_image(
        archive,
        "klever.test/a:1",
        {"opt/tree": tmp_path / "tree"},
        links={"bin/leaf": "../opt/tree/leaf"},
        entrypoint=["/bin/leaf"],
        environment={"A": "b"},
    )
    with tarfile.open(archive) as tar:
        (manifest,) = json.loads(read(tar, "manifest.json"))
        config = json.loads(read(tar, manifest["Config"]))
        layer = read(tar, manifest["Layers"][0])
        member = tar.extractfile(manifest["Layers"][0])
        with tarfile.open(fileobj=member) as inner:
            assert read(inner, "opt/tree/leaf") == b"green"
            assert inner.getmember("bin/leaf").linkname == "../opt/tree/leaf"
            assert {info.uid for info in inner} == {0}
    assert manifest["RepoTags"] == ["klever.test/a:1"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["/bin/leaf"]
    assert "A=b" in config["config"]["Env"]
    assert {path.name for path in tmp_path.iterdir()} == {"tree", "a.tar"}


def test_the_same_content_is_the_same_archive(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("one.tar", "two.tar"):
        write_image(tmp_path / name, "klever.test/a:1", {"file": tmp_path / "file"})
        (tmp_path / "file").touch()
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    assert member is not None
    return member.read()
