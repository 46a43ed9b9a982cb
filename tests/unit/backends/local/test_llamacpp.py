"""Language models on real llama.cpp, in the strongest sandbox of this machine."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from klever.backends import Instance
from tests.contract.backend import KEY, until_ready, workload
from tests.unit.backends.local.machine import Machine, adder, open_session

pytestmark = pytest.mark.triton
MODELS = Path(__file__).parents[3] / "data" / "serving" / "gguf"
CHAT = {"messages": [{"role": "user", "content": "Who are you?"}], "temperature": 0}


@pytest.fixture
async def speaker(machine: Machine) -> Instance:
    def fetch(reference: str, content: str, into: Path) -> None:
        (into / "model").mkdir()
        (into / "model" / "one.gguf").write_bytes(gzip.decompress((MODELS / "one.gguf.gz").read_bytes()))

    backend = await machine.backend(fetch=fetch)
    await backend.ensure(workload(replace(adder(), format="GGUF", runtime="llamacpp", signature=None)))
    (instance,) = await until_ready(backend, 1)
    return instance


async def post(instance: Instance, path: str, body: dict[str, Any]) -> tuple[int, str]:
    async with open_session(instance.http) as (session, url):
        response = await session.post(f"{url}/openai/v1/{path}", json=body)
        return response.status, await response.text()


async def test_it_answers_as_openai_does(speaker: Instance) -> None:
    status, text = await post(speaker, "chat/completions", CHAT)
    assert status == 200, text
    answer = json.loads(text)
    assert (answer["model"], answer["choices"][0]["message"]["content"]) == (KEY.name, " this is version one")
    _, text = await post(speaker, "completions", {"prompt": "x", "max_tokens": 2, "temperature": 0})
    assert json.loads(text)["choices"][0]["text"] == " this is"
    _, text = await post(speaker, "embeddings", {"input": ["this", "version one"]})
    assert [len(row["embedding"]) for row in json.loads(text)["data"]] == [384, 384]


async def test_it_streams_and_counts(speaker: Instance) -> None:
    _, text = await post(speaker, "chat/completions", {**CHAT, "stream": True})
    events = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == " this is version one"
    async with open_session(speaker.metrics) as (session, url):
        metrics = await (await session.get(f"{url}/metrics")).text()
    assert "llamacpp:tokens_predicted_total 5" in metrics
