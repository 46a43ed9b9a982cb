"""Routes on disk."""

from __future__ import annotations

import json
from typing import Any

import pytest

from klever.routers import Route, RouteKey, Target
from klever.routers.state import decode_routes, encode_routes
from klever.runtimes.protocols import ANY, OPEN_INFERENCE, WireProtocol
from klever.traffic.matches import HeaderMatch

ROUTE = Route(
    RouteKey("team", "digits"),
    (Target("main", "r1", OPEN_INFERENCE, 100, ("127.0.0.1:9",), (), ((HeaderMatch("x-user", "me"),),)),),
    retries=1,
)


def test_routes_come_back_as_they_were() -> None:
    assert decode_routes(encode_routes([ROUTE])) == [ROUTE]


@pytest.mark.parametrize(("name", "protocol"), [("open-inference", OPEN_INFERENCE), ("any", ANY)])
def test_routes_of_an_older_version_are_read(name: str, protocol: WireProtocol) -> None:
    document: Any = json.loads(encode_routes([ROUTE]))
    document[0]["targets"][0]["protocol"] = name
    del document[0]["retries"]
    assert decode_routes(json.dumps(document).encode())[0].targets[0].protocol == protocol
