"""Generated requests to every method of a running platform: `python bench/generated.py [COUNT] [SEED]`.

Prints the number of answers by status code, and each request that ended INTERNAL.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder has a grpc.py of its own

import grpc

from klever.server.services import JOBS, MODELS, SERVER, SERVINGS
from tests.e2e.platform import Platform
from tests.generated import generate

METHODS = [method for service in (JOBS, MODELS, SERVER, SERVINGS) for method in service.methods]
_AT_ONCE = 8


async def send(platform: Platform, count: int, seed: int) -> Counter[str]:
    chance, codes = random.Random(seed), Counter[str]()
    target = platform.url.removeprefix("http://")
    metadata = (("authorization", f"Bearer {platform.token}"),)
    async with grpc.aio.insecure_channel(target) as channel:

        async def one(method: Any, content: bytes) -> None:
            path = f"/{method.containing_service.full_name}/{method.name}"
            code, said = await _ask(channel, path, content, metadata, streams=method.server_streaming)
            codes[code.name] += 1
            if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
                print(f"{path} ended {code.name}: {said}: {content!r}", flush=True)

        for start in range(0, count, _AT_ONCE):
            methods = [chance.choice(METHODS) for _ in range(min(_AT_ONCE, count - start))]
            requests = [generate(chance, method.input_type).SerializeToString() for method in methods]
            await asyncio.gather(*map(one, methods, requests))
    return codes


async def _ask(channel: Any, path: str, content: bytes, metadata: Any, *, streams: bool) -> tuple[grpc.StatusCode, str]:
    """Return how a call ends; a stream that is still open after a moment is well."""
    try:
        if not streams:
            await channel.unary_unary(path)(content, metadata=metadata, timeout=20)
        else:
            async for _ in channel.unary_stream(path)(content, metadata=metadata, timeout=0.1):
                pass
    except grpc.aio.AioRpcError as error:
        late = streams and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return (grpc.StatusCode.OK if late else error.code()), error.details() or ""
    return grpc.StatusCode.OK, ""


def main() -> None:
    count, seed = (int(argument) for argument in (*sys.argv[1:], "20000", "1")[:2])
    with tempfile.TemporaryDirectory() as root:
        platform = Platform(Path(root))
        platform.start()
        try:
            codes = asyncio.run(send(platform, count, seed))
        finally:
            platform.clean_up()
    print(f"{count} requests: {codes['INTERNAL'] + codes['UNKNOWN']} INTERNAL or UNKNOWN")
    for code, number in codes.most_common():
        print(f"{code:20} {number}")


if __name__ == "__main__":
    main()
