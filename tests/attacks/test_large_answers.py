"""Answers larger than what the gateway holds of a connection: metadata and commands that are as large as allowed."""

from __future__ import annotations

import json

import pytest

from tests.attacks.pushing import pack_layer, push
from tests.e2e.platform import Platform, until

VERSIONS = 12
INPUTS = [{"name": f"{n:03}" + "x" * 900, "size": [1], "dType": "float32"} for n in range(1_000)]


@pytest.fixture(scope="module")
def large(shared_platform: Platform) -> str:
    """A project with models whose metadata has almost 1 MiB each."""
    for number in range(VERSIONS):
        config = {
            "format": "ONNX",
            "description": str(number),
            "signature": {"inputs": INPUTS, "outputs": INPUTS[:1]},
            "directoryStructure": ["model/other.txt"],
        }
        push(shared_platform, f"large/m{number:02}", config, pack_layer({"other.txt": b"x"}))
    return "/api/v1alpha1/projects/large/models"


@pytest.mark.parametrize("view", ["BASIC", "FULL"])
def test_models_are_listed_over_rest(shared_platform: Platform, large: str, view: str) -> None:
    token, found = "", list[str]()
    while True:
        status, body = shared_platform.http("GET", f"{large}?view={view}&pageToken={token}")
        assert status == 200
        page = json.loads(body)
        found += [model["name"] for model in page["items"]]
        if not (token := page.get("nextPageToken", "")):
            break
    assert found == [f"m{number:02}" for number in range(VERSIONS)]


def test_control_characters_fit_into_an_answer(shared_platform: Platform) -> None:
    """A character of one byte takes six in JSON, as it does in the config."""
    config = json.dumps({"format": "ONNX", "description": "\x01" * 170_000}).encode()
    push(shared_platform, "large-texts/m", config, pack_layer({"other.txt": b"x"}))
    status, body = shared_platform.http("GET", "/api/v1alpha1/projects/large-texts/models/m/versions/v1")
    assert (status, len(json.loads(body)["description"])) == (200, 170_000)


def test_a_long_command_is_rendered(shared_platform: Platform, large: str) -> None:
    shared_platform.run("klever", "allow-code", "large")
    predictor = {"name": "main", "model": "large/m00:v1", "command": ["/bin/true", *["x" * 8192] * 255]}
    body = json.dumps({"metadata": {"name": "it"}, "spec": {"predictors": [predictor]}})
    path = "/api/v1alpha1/namespaces/large/servings:render"

    def render() -> tuple[int, str]:
        return shared_platform.http("POST", path, body, **{"Content-Type": "application/json"})

    until(lambda: "MODEL_NOT_READY" not in render()[1], 120)
    status, text = render()
    assert (status, text.count("x" * 8192)) == (200, 255), text[:1000]
