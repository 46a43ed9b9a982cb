"""References parse as distribution's do, and print as they were given."""

from __future__ import annotations

import pytest

from klever.errors import InvalidError
from klever.oci.digest import Digest
from klever.oci.reference import Reference

DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag"),
    [
        ("release/onnx:v1", "", "release/onnx", "v1"),
        ("onnx", "", "onnx", ""),
        ("onnx:5000", "", "onnx", "5000"),
        ("harbor-harbor-core.kleveross-system/release/onnx:v1", "harbor-harbor-core.kleveross-system", "release/onnx",
         "v1"),
        ("localhost/a/b", "localhost", "a/b", ""),
        ("127.0.0.1:8080/a/b/c:V_1.0-x", "127.0.0.1:8080", "a/b/c", "V_1.0-x"),
        ("[::1]:5000/a:b", "[::1]:5000", "a", "b"),
        ("demo.goharbor.io/tensorflow/fashion_model:v1", "demo.goharbor.io", "tensorflow/fashion_model", "v1"),
        ("a__b/c--d.e", "", "a__b/c--d.e", ""),
    ],
)  # fmt: skip
def test_parts(text: str, host: str, repository: str, tag: str) -> None:
    reference = Reference.parse(text)
    assert (reference.host, reference.repository, reference.tag) == (host, repository, tag)
    assert str(reference) == text


def test_digest_wins_over_tag() -> None:
    reference = Reference.parse(f"release/onnx:v1@{DIGEST}")
    assert (reference.tag, reference.digest, reference.target) == ("v1", DIGEST, DIGEST)
    assert str(reference) == f"release/onnx:v1@{DIGEST}"
    assert str(reference.with_tag("v2")) == "release/onnx:v2"
    assert str(reference.with_digest(DIGEST)) == f"release/onnx@{DIGEST}"


def test_project_and_model() -> None:
    reference = Reference.parse("registry.local/vision/digits/small:v1")
    assert (reference.project, reference.model) == ("vision", "digits/small")
    assert Reference.parse("digits").target == "latest"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "repository"),
        ("Release/onnx:v1", "repository"),
        ("release//onnx", "repository"),
        ("release/onnx:", "tag"),
        ("release/onnx:-v1", "tag"),
        ("release/onnx:" + "v" * 129, "tag"),
        ("release/onnx@sha256:00", "hex digits"),
        ("-a.b/onnx", "host"),
        ("a.b:port/onnx", "host"),
        ("a.b:65536/onnx", "host"),
        ("a.b:" + "9" * 200 + "/onnx", "host"),
        ("../onnx", "host"),
        ("release/" + "x" * 300, "255"),
        ("release/onnx:v1\n", "tag"),
        ("https://registry/onnx", "host"),
    ],
)
def test_refused_with_the_part_that_is_wrong(text: str, part: str) -> None:
    with pytest.raises(InvalidError, match=part):
        Reference.parse(text)
