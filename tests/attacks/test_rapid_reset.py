"""Clients open streams of HTTP/2 and reset them at once: few reach the control plane, and no other request fails."""

from __future__ import annotations

import re
import urllib.request

from tests.attacks.crowd import SERVINGS, crowd
from tests.attacks.http2 import reset_rapidly
from tests.attacks.test_decompression import LIST
from tests.attacks.triton import infer
from tests.e2e.platform import Platform

ROUNDS = 100
SECONDS = 5.0
STREAMS = 400
"""Fewer than the gateway closes a connection for by default."""


def test_requests_of_others_succeed(echo: Platform) -> None:
    with crowd(echo) as attackers:
        attack = attackers.begin("rapid_resets", SECONDS)
        for _ in range(ROUNDS):
            if attack.done():
                assert set(attack.result()) == {"ended"}
                attack = attackers.begin("rapid_resets", SECONDS)
            status, text = echo.http("GET", SERVINGS)
            assert status == 200, text
            infer(echo)


def test_streams_that_are_reset_do_not_reach_the_control_plane(platform: Platform) -> None:
    platform.start()
    assert platform.http("GET", SERVINGS)[0] == 200  # the gateway counts from the first request on
    reached = _reached(platform)
    for _ in range(5):
        reset_rapidly(platform.port, LIST, STREAMS)
    assert platform.http("GET", SERVINGS)[0] == 200
    assert _reached(platform) - reached < STREAMS


def _reached(platform: Platform) -> int:
    """Return how many requests the gateway has sent to the control plane."""
    with urllib.request.urlopen(platform.metrics, timeout=30) as response:
        text = response.read().decode()
    found = re.search(r'^envoy_cluster_upstream_rq_total\{envoy_cluster_name="klever-api"\} (\d+)', text, re.MULTILINE)
    assert found, [line for line in text.splitlines() if "upstream_rq_total" in line]
    return int(found[1])
