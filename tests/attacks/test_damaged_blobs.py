"""Blobs that were damaged on disk are never sent as complete, and the next push repairs them."""

from __future__ import annotations

import http.client
import os
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from klever.oci.digest import Digest
from tests.e2e.platform import Platform

LARGE = Random(31).randbytes(5 << 20)
BLOB = f"/v2/team/large/blobs/{Digest.of(LARGE)}"


def flip(path: Path) -> None:
    """Flip the last bit of a file and set its times back."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def empty(path: Path) -> None:
    os.truncate(path, 0)


def received(platform: Platform, **headers: str) -> bytes | None:
    """What a client of the gateway takes for a complete answer; None if it was refused, or the connection broke."""
    request = urllib.request.Request(platform.url + BLOB, headers=headers)
    with suppress(OSError, http.client.HTTPException), urllib.request.urlopen(request, timeout=60) as response:
        return bytes(response.read())
    return None


def upload(platform: Platform) -> None:
    request = urllib.request.Request(
        f"{platform.url}/v2/team/large/blobs/uploads/?digest={Digest.of(LARGE)}",
        LARGE,
        {"Authorization": f"Bearer {platform.token}", "Content-Type": "application/octet-stream"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 201


def blobs(platform: Platform) -> list[Path]:
    return sorted((platform.data / "registry/blobs/sha256").iterdir())


@pytest.mark.parametrize("damage", [flip, empty])
def test_a_damaged_blob_is_refused_until_it_is_uploaded_again(
    platform: Platform, damage: Callable[[Path], None]
) -> None:
    platform.start()
    upload(platform)
    assert received(platform) == LARGE
    damage(blobs(platform)[0])
    assert received(platform, Range="bytes=100-200") is None
    assert received(platform) is None
    assert platform.http("GET", BLOB)[0] == 404
    with urllib.request.urlopen(platform.metrics, timeout=30) as response:
        assert b"klever_registry_damaged_blobs 1.0" in response.read()
    upload(platform)
    assert received(platform) == LARGE


@pytest.mark.parametrize("damage", [flip, empty])
def test_a_push_repairs_what_was_damaged_before_the_start(platform: Platform, damage: Callable[[Path], None]) -> None:
    platform.start()
    platform.push("team/add:v1")
    platform.end()
    saved = {path.name for path in (platform.root / "ormb/cache/blobs/sha256").iterdir()}
    sound = {path: path.read_bytes() for path in blobs(platform) if path.name in saved}  # not what extraction wrote
    assert sound
    for path in sound:
        damage(path)
    platform.start()
    platform.run("ormb", "push", "team/add:v1")
    assert {path: path.read_bytes() for path in sound} == sound
