"""Pushes artifacts as somebody does who writes them by hand: any config, any layer."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import urllib.request
from collections.abc import Mapping
from typing import Any

from klever.artifacts.dialects import ormb
from klever.oci import mediatypes
from tests.e2e.platform import Platform

__all__ = ["pack_layer", "push"]


def pack_layer(files: Mapping[str, bytes]) -> bytes:
    """Return an ORMB layer with these files below model/."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"model/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(archive.getvalue())


def push(platform: Platform, repository: str, config: Mapping[str, Any] | bytes, layer: bytes, tag: str = "v1") -> str:
    """Push a version of a model; returns its reference."""
    content = config if isinstance(config, bytes) else json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "config": _upload(platform, repository, ormb.CONFIG, content),
        "layers": [_upload(platform, repository, ormb.LAYER, layer)],
    }
    path = f"/v2/{repository}/manifests/{tag}"
    _send(platform, "PUT", path, json.dumps(manifest).encode(), mediatypes.IMAGE_MANIFEST)
    return f"{repository}:{tag}"


def _upload(platform: Platform, repository: str, media_type: str, content: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    _send(platform, "POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content, "application/octet-stream")
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _send(platform: Platform, method: str, path: str, content: bytes, media_type: str) -> None:
    headers = {"Authorization": f"Bearer {platform.token}", "Content-Type": media_type}
    request = urllib.request.Request(platform.url + path, content, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201, answer.status
