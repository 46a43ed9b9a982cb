"""A registry cannot send a client anywhere."""

from __future__ import annotations

import pytest
import requests

from klever.errors import UnavailableError
from klever.oci.auth import Session
from klever.oci.redirects import follow
from klever.oci.registries import Endpoint

HOME = "https://registry.example/v2/team/x/blobs/y"


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://registry.example/z",
        "file:///etc/passwd",
        "https://127.0.0.1/metrics",
        "https://localhost:8080/v2/",
        "https://[::1]/x",
        "https://0.0.0.0/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/x",
    ],
)
def test_a_redirect_inward_or_without_tls_is_refused(location: str) -> None:
    with pytest.raises(UnavailableError, match="refused to follow the redirect"):
        follow(HOME, location)
    answer = requests.Response()
    answer.status_code, answer.url = 307, HOME
    answer.headers["Location"] = location
    endpoint = Endpoint("registry.example", "https://registry.example")
    with Session(endpoint, 1) as session, pytest.raises(UnavailableError):
        session.get_redirect_target(answer)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        (HOME, "/z", "https://registry.example/z"),
        (HOME, "https://cdn.example/z", "https://cdn.example/z"),
        ("http://127.0.0.1:8080/v2/", "http://127.0.0.1:9000/z", "http://127.0.0.1:9000/z"),
    ],
)
def test_other_redirects_are_followed(url: str, location: str, target: str) -> None:
    assert follow(url, location) == target
