"""Envoy takes every header match that admission lets pass."""

from __future__ import annotations

import random
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import orjson
import pytest

from klever.errors import InvalidError
from klever.routers import Route, RouteKey, Target
from klever.routers.envoy.bootstrap import bootstrap
from klever.routers.envoy.routes import route_configuration
from klever.runtimes.protocols import OPEN_INFERENCE
from klever.traffic.matches import HeaderMatch, MatchType
from tests.unit.routers.test_envoy import BINARY
from tests.unit.routers.test_golden import gateway
from tests.unit.store.validation.test_admission import MAIN, admit, serving

pytestmark = pytest.mark.envoy

_CLASS = "".join(chr(code) for code in range(33, 127, 2) if chr(code) not in "[]\\^-")
LARGE = (
    "(" + f"[{_CLASS}]{{99}}" * 4 + "){9}",
    "(" + r"\pL{99}" * 7 + "){9}",
    "(" + r"\pL" * 80 + "){9}",
    "(" + r"\W{99}" * 7 + "){9}",
    "(?i)([" + (_CLASS * 5)[:230] + "]{99}){9}",
)
"""Those with the largest programs that the rules of serving.proto let pass; the embedded store refuses some itself."""
_PARTS = (
    "a", ".", "[a-z]", "[^b]", r"\d", r"\W", r"\pL", "(", ")", "(?:", "(?i)", "(?P<n>", "|", "*", "+", "?", "{3}",
    "{99}", "{1,9}", "{1000}", "{9,}", "^", "$", r"\b", r"\C", r"\Q", r"\E", r"\x41", r"\x{100}", r"\101", r"\777",
    r"\n", r"\{", "\u00e9", "\u4e00", "[[:alpha:]]", "[", "]", "-", "{", "}", r"\z", "**", "??",
)  # fmt: skip


def admitted(regex: str) -> bool:
    matches = [{"headers": [{"name": "x-user", "regex": regex}]}]
    try:
        admit(serving(MAIN, {**MAIN, "name": "beta", "matches": matches}))
    except InvalidError:
        return False
    return True


def refusal(tmp_path: Path, regexes: list[str]) -> str:
    """What Envoy says of routes with these header matches, empty if it takes them."""
    targets = [
        Target(f"p{number}", "r", OPEN_INFERENCE, 0, ("127.0.0.1:9000",), (), ((_match(regex),),))
        for number, regex in enumerate(regexes)
    ]
    descriptors = Path(str(files("klever.v1alpha1") / "descriptor.binpb"))  # routes answer with files
    here = replace(gateway("127.0.0.1"), descriptors=descriptors)
    config = bootstrap(here, tmp_path)
    routes = route_configuration(here, [Route(RouteKey("team", "digits"), tuple(targets))])
    del config["dynamic_resources"]
    connections = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    del connections["rds"]
    connections["http_filters"] = connections["http_filters"][-1:]
    for entry in routes["virtual_hosts"][0]["routes"]:
        entry.pop("typed_per_filter_config", None)
    connections["route_config"] = {key: value for key, value in routes.items() if key != "@type"}
    connections["route_config"]["validate_clusters"] = False
    file = tmp_path / "envoy.json"
    file.write_bytes(orjson.dumps(config))
    command = [str(BINARY), "--mode", "validate", "-c", str(file), "--log-level", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _match(regex: str) -> HeaderMatch:
    return HeaderMatch("x-user", regex, MatchType.REGEX)


@pytest.mark.parametrize("regex", LARGE)
def test_large_ones(tmp_path: Path, regex: str) -> None:
    assert not refusal(tmp_path, [regex])


def test_generated_ones(tmp_path: Path) -> None:
    rng = random.Random(7)
    made = {"".join(rng.choices(_PARTS, k=rng.randrange(1, 6))) for _ in range(1000)}
    passed = sorted(filter(admitted, made))
    assert len(passed) > 100
    assert not refusal(tmp_path, passed)


@pytest.mark.parametrize("regex", [r"\x{100}", r"\777", f"[{_CLASS}]{{1000}}", f"([{_CLASS}]{{99}}){{99}}", "("])
def test_a_regex_that_envoy_refuses_is_not_admitted(regex: str) -> None:
    assert not admitted(regex)
