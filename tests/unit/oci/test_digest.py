"""A digest is valid or is not made at all."""

from __future__ import annotations

import copy
import hashlib

import pytest

from klever.errors import InvalidError
from klever.oci.digest import Digest


def test_the_digest_of_bytes_is_their_sha256() -> None:
    digest = Digest.of(b"klever")
    assert digest == "sha256:" + hashlib.sha256(b"klever").hexdigest()
    assert (digest.algorithm, digest.hex) == ("sha256", hashlib.sha256(b"klever").hexdigest())
    assert copy.deepcopy(digest) == digest


def test_sha512_is_accepted_and_verifies() -> None:
    text = "sha512:" + hashlib.sha512(b"klever").hexdigest()
    hasher = Digest.parse(text).hasher()
    hasher.update(b"klever")
    assert Digest.of_hash(hasher) == text


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha256:" + "g" * 64, "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 32,
     "sha256:../../../../../../../../../../../../../../../../etc/passwd0000000", "sha256:" + "a" * 64 + "\n"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="digest"):
        Digest.parse(text)
