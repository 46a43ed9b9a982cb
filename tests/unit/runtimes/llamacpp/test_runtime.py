"""llama.cpp's adapter: what it starts, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from klever.errors import InvalidError
from klever.runtimes import Launch, Model, Placement
from klever.runtimes.llamacpp import LlamaCppRuntime

AT = Placement(
    "127.0.0.1",
    PurePosixPath("/data/store"),
    PurePosixPath("/data/work"),
    PurePosixPath("/cache/model"),
    sockets=PurePosixPath("/data/sockets/1"),
    environments={"llamacpp": PurePosixPath("/environments/llamacpp")},
)
MODEL = Model("speaker", "GGUF", ("speaker.gguf",), None)


def settings(launch: Launch) -> dict[str, object]:
    found: dict[str, object] = json.loads(launch.files["launch.json"])
    return found


def test_it_listens_on_sockets_and_is_healthy_when_its_loop_answers() -> None:
    launch = LlamaCppRuntime().launch(MODEL, AT)
    assert launch.argv[0] == "/environments/llamacpp/bin/python3"
    assert (launch.http, launch.metrics) == ("unix:/data/sockets/1/http.sock", "unix:/data/sockets/1/metrics.sock")
    assert (launch.health.path, launch.health.address) == ("/metrics", launch.metrics)
    assert settings(launch)["model"] == "/data/store/model/speaker.gguf"


def test_variables_set_the_context_and_the_requests_at_a_time() -> None:
    launch = LlamaCppRuntime().launch(MODEL, replace(AT, env={"CONTEXT_LENGTH": "128", "PARALLEL": "2"}, threads=3))
    assert {"context_length": 128, "parallel": 2, "threads": 3}.items() <= settings(launch).items()
    with pytest.raises(InvalidError, match="PARALLEL must be a positive number, not 'many'"):
        LlamaCppRuntime().launch(MODEL, replace(AT, env={"PARALLEL": "many"}))


def test_the_first_shard_is_opened() -> None:
    shards = tuple(f"big-{number:05}-of-00002.gguf" for number in (1, 2))
    assert str(settings(LlamaCppRuntime().launch(replace(MODEL, files=shards), AT))["model"]).endswith(shards[0])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (replace(MODEL, files=("a.gguf", "b.gguf")), "not a.gguf, b.gguf"),
        (replace(MODEL, files=("deep/a.gguf",)), "not nothing"),
        (replace(MODEL, format="ONNX"), "serves GGUF, not ONNX"),
    ],
)
def test_unsupported_workloads_are_refused(bad: Model, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        LlamaCppRuntime().check(bad)
