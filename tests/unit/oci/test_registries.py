"""The registries table."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.errors import InvalidError, NotFoundError
from klever.oci.reference import Reference
from klever.oci.registries import Credentials, Endpoint, Registries

PLATFORM = Endpoint("", "http://127.0.0.1:8080")
TABLE = {
    "registries": {
        "harbor.local": {
            "url": "https://10.0.0.5:8443",
            "mirror": "http://mirror:5000",
            "username": "robot",
            "password": "secret",
            "ca": "/etc/ca.pem",
            "realms": ["auth.local"],
        },
        "plain.local:5000": {"url": "http://plain.local:5000", "insecure": True},
        "private.local": {"url": "http://private.local", "token": "t", "plaintext": True},
    }
}


def resolve(text: str, registries: Registries | None = None) -> Endpoint:
    return (registries or Registries.parse(TABLE, platform=PLATFORM)).resolve(Reference.parse(text))


def test_a_host_in_the_table() -> None:
    endpoint = resolve("harbor.local/release/onnx:v1")
    assert endpoint == Endpoint(
        "harbor.local", "https://10.0.0.5:8443", Credentials("robot", "secret"), Path("/etc/ca.pem"),
        realms=("auth.local",), mirror=Endpoint("harbor.local", "http://mirror:5000"),
    )  # fmt: skip
    assert (endpoint.host, endpoint.plain_http) == ("10.0.0.5:8443", False)
    assert "secret" not in repr(endpoint)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("other.example/release/onnx", "https://other.example"),
        ("localhost:5000/release/onnx", "http://localhost:5000"),
        ("127.0.0.2/release/onnx", "http://127.0.0.2"),
        ("[::1]:5000/release/onnx", "http://[::1]:5000"),
        ("release/onnx", "http://127.0.0.1:8080"),
    ],
)
def test_other_hosts_go_by_their_name(text: str, url: str) -> None:
    assert resolve(text).url == url


def test_without_a_platform_a_host_is_needed() -> None:
    with pytest.raises(NotFoundError, match="names no registry host"):
        resolve("release/onnx", Registries())


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "registries: must be"),
        ({"registries": {"h": {"urls": "x"}}}, r"registries\[h\].urls: unknown field"),
        ({"registries": {"h": {"password": 1}}}, r"registries\[h\].password: must be text"),
        ({"registries": {"h": {"insecure": "no"}}}, r"registries\[h\].insecure: must be true or false"),
        ({"registries": {"h": {"realms": "x"}}}, r"registries\[h\].realms: must be a list"),
        ({"registries": {"h": {"url": "ftp://x"}}}, "must be http.*'ftp://x'"),
        ({"registries": {"h": {"url": "http://u:p@x"}}}, "must be http"),
        ({"registries": {"h": {"url": "https://x:99999"}}}, "must be http.*'https://x:99999'"),
        ({"registries": {"h": {"url": "https://[x"}}}, "must be http"),
        ({"registries": {"[h": {}}}, "must be http"),
        ({"registries": {"h": {"url": "http://h", "token": "t"}}}, r"registries\[h\].url: must be https to carry"),
        ({"registries": {"h": []}}, r"registries\[h\]: must be an object"),
    ],
)
def test_a_wrong_table_is_named(document: object, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Registries.parse(document)
