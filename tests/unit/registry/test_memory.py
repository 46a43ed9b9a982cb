"""What bodies take of memory is bounded, and comes back after a burst."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from klever.errors import ExhaustedError
from klever.oci import mediatypes
from klever.registry.memory import Budget
from tests.unit.registry.client import Client, Process, session

pytestmark = pytest.mark.slow

MIB = 1 << 20
ROOM = 120 * MIB
"""What a burst may leave behind: without a release it leaves some 225 MiB."""


def test_a_budget_is_shared_and_given_back() -> None:
    budget = Budget(10)
    with budget.held() as one, budget.held() as other:
        one(6)
        other(4)
        with pytest.raises(ExhaustedError) as error:
            one(1)
        assert error.value.reason == "TOOMANYREQUESTS"
    with budget.held() as again:
        again(10)


async def test_memory_comes_back_after_a_burst(tmp_path: Path) -> None:
    annotations = {f"key{number}": "x" * 50 for number in range(55_000)}
    config = {"mediaType": "x", "digest": f"sha256:{'0' * 64}", "size": 1}
    document = {"schemaVersion": 2, "mediaType": mediatypes.IMAGE_MANIFEST, "config": config, "layers": []}
    manifest = json.dumps(document | {"annotations": annotations}).encode()
    assert 3 * MIB < len(manifest) < 4 * MIB
    with Process(tmp_path / "registry") as process:
        before = process.resident()
        async with session() as http:
            client = Client(http, process.address)
            pushes = [client.put_manifest("a/b", f"v{number}", manifest) for number in range(60)]
            answers = await asyncio.gather(*pushes)
            assert {answer.status for answer in answers} <= {400, 429}
            blobs = [Random(number).randbytes(2 * MIB) for number in range(50)]
            assert {answer.status for answer in await asyncio.gather(*(client.put_blob("a/b", b) for b in blobs))} == {
                201
            }
            async with asyncio.timeout(60):
                while process.resident() > before + ROOM:
                    assert (await client.ask("GET", "/v2/")).status == 200
