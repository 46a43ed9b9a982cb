"""Language models: two versions behind one URL, at a terminal, and in the metrics."""

from __future__ import annotations

import gzip
import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import Platform, until

MODELS = Path(__file__).parents[1] / "data" / "serving" / "gguf"
SERVING = """
apiVersion: kleveross.io/v1alpha1
kind: Serving
metadata: {name: speaker}
spec:
  predictors:
    - {name: one, model: 'team/speaker:one', traffic: 50}
    - {name: two, model: 'team/speaker:two', traffic: 50}
"""
PATH = "/seldon/default/speaker/openai/v1"
CHAT = {"messages": [{"role": "user", "content": "Who are you?"}], "temperature": 0}


def push(platform: Platform, version: str) -> None:
    directory = platform.root / version
    (directory / "model").mkdir(parents=True)
    weights = gzip.decompress((MODELS / f"{version}.gguf.gz").read_bytes())
    # An uint32, as large as the default of llama.cpp's runtime, so that an answer can take long.
    weights = re.sub(
        rb"(?<=\.context_length\x04\x00\x00\x00).{4}", (8192).to_bytes(4, "little"), weights, flags=re.DOTALL
    )
    (directory / "model" / "speaker.gguf").write_bytes(weights)
    platform.run("ormb", "save", str(directory), f"team/speaker:{version}")
    platform.run("ormb", "push", f"team/speaker:{version}")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"))
    platform.start()
    for version in ("one", "two"):
        push(platform, version)
    platform.run("klever", "apply", "-f", "-", stdin=SERVING)
    platform.run("klever", "wait", "serving", "speaker", "--for", "condition=Ready", "--timeout", "80s")
    yield platform
    platform.clean_up()


def post(platform: Platform, path: str, body: object) -> str:
    headers = {"Content-Type": "application/json"}
    status, answer = platform.http("POST", f"{PATH}/{path}", json.dumps(body), **headers)
    assert status == 200, answer
    return answer


def says(platform: Platform) -> str:
    return str(json.loads(post(platform, "chat/completions", CHAT))["choices"][0]["message"]["content"]).strip()


def test_its_versions_share_the_traffic(platform: Platform) -> None:
    heard = {says(platform) for _ in range(40)}  # by chance it is one version once in half a billion times
    assert heard == {"this is version one", "this is version two"}


def test_every_path_of_the_api_answers(platform: Platform) -> None:
    assert json.loads(platform.http("GET", f"{PATH}/models")[1])["data"][0]["id"] == "speaker"
    assert json.loads(post(platform, "completions", {"prompt": "x", "max_tokens": 2}))["choices"][0]["text"]
    assert json.loads(post(platform, "embeddings", {"input": "this"}))["data"][0]["embedding"]


@pytest.mark.parametrize("path", ["/openai/slots", "/openai/props", "/openai/metrics", "/openai/v1/health", "/metrics"])
def test_no_other_path_is_published(platform: Platform, path: str) -> None:
    assert platform.http("GET", f"/seldon/default/speaker{path}")[0] == 404


def test_it_talks_at_a_terminal(platform: Platform) -> None:
    said = platform.run("klever", "chat", "speaker", "Who are you?", "--temperature", "0").stdout
    assert said.strip() in {"this is version one", "this is version two"}
    with platform.watched("chat", "speaker", "--temperature", "0") as terminal:
        terminal.read("> ")
        terminal.type("Who are you?\n")
        terminal.read("this is version")


def test_its_metrics_tell_of_tokens_and_of_the_time_to_the_first(platform: Platform) -> None:
    post(platform, "chat/completions", {**CHAT, "stream": True})

    def scrape() -> str:
        with urllib.request.urlopen(platform.metrics, timeout=10) as response:
            return str(response.read().decode())

    names = ("llamacpp:predicted_tokens_seconds", "llamacpp:requests_deferred", "first_token_milliseconds_bucket")
    until(lambda: all(name in scrape() for name in names))
    (line, *_) = [line for line in scrape().splitlines() if "first_token_milliseconds_bucket" in line]
    assert 'namespace="default",serving="speaker",predictor="' in line


def test_a_generation_ends_with_its_client(platform: Platform) -> None:
    def computed() -> float:
        with urllib.request.urlopen(platform.metrics, timeout=10) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("llamacpp:requests_processing"))

    endless = {"prompt": "x", "max_tokens": 1_000_000, "ignore_eos": True, "stream": True}
    head = f"POST {PATH}/completions HTTP/1.1\r\nHost: 127.0.0.1:{platform.port}\r\nContent-Type: application/json\r\n"
    body = json.dumps(endless)
    with socket.create_connection(("127.0.0.1", platform.port), timeout=30) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        until(computed)
    until(lambda: computed() == 0)
