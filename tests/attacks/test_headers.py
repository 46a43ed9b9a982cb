"""Headers: too large ones end at the gateway, and the audit log names who connected."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.platform import Platform, until


@pytest.mark.parametrize("size", [8_100, 8_200, 16_000, 60_000])
@pytest.mark.parametrize("path", ["/v2/", "/api/v1alpha1/namespaces/default/servings", "/"])
def test_large_headers_are_refused_without_a_trace(shared_platform: Platform, path: str, size: int) -> None:
    before = len(shared_platform.log.read_text())  # others attack this platform too
    status, _ = shared_platform.http("GET", path, **{"X-Large": "a" * size})
    assert status in ((200, 431) if size < 8_192 else (431,))
    assert "aiohttp" not in shared_platform.log.read_text()[before:]


def test_the_audit_log_names_who_connected(shared_platform: Platform) -> None:
    identity = "who-connected"
    headers = {"X-Request-ID": identity, "X-Forwarded-For": "203.0.113.9"}
    path = "/api/v1alpha1/namespaces/default/servings/none"
    shared_platform.http("DELETE", path, **headers)

    def line() -> dict[str, Any]:
        lines = shared_platform.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if identity in line]
        return found[0] if found else {}

    assert until(line)["peer"] == "127.0.0.1"
