"""What the guard in front of Triton costs: `python bench/guard.py`.

One Envoy publishes one Triton twice, with the guard and without it; the same client asks both in turn.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from statistics import median

sys.path.pop(0)  # this directory, whose grpc.py is not the library
sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.load import Load, closed
from bench.machine import cpu, processes
from klever.cmd.programs import envoy_binary
from klever.process import ProcessManager
from klever.routers import Route, RouteKey, Target
from klever.routers.envoy import EnvoyRouter, Gateway
from klever.runtimes import Guard
from klever.runtimes.protocols import OPEN_INFERENCE
from tests.attacks.triton import NAME, deploy_echo
from tests.e2e.platform import Platform

ROUNDS, SECONDS, CONNECTIONS = 3, 3.0, 8
REQUESTS = (("JSON", 1_000), ("JSON", 100_000), ("JSON", 1_000_000), ("binary", 1_000), ("binary", 1_000_000))


def request(kind: str, size: int) -> tuple[bytes, str]:
    """An inference of about `size` bytes, whose answer is small, and the header that it needs."""
    words: dict[str, object] = {"name": "S", "datatype": "BYTES", "shape": [1], "data": ["x"]}
    outputs = [{"name": "SOUT"}]
    if kind == "JSON":
        numbers = [number % 1000 / 8 for number in range(size // 8)]
        tensor: dict[str, object] = {"name": "F", "datatype": "FP32", "shape": [len(numbers)], "data": numbers}
        return json.dumps({"inputs": [tensor, words], "outputs": outputs}).encode(), ""
    content = bytes(size)
    parameters = {"binary_data_size": size}
    tensor = {"name": "F", "datatype": "FP32", "shape": [size // 4], "parameters": parameters}
    head = json.dumps({"inputs": [tensor, words], "outputs": outputs}).encode()
    return head + content, f"Inference-Header-Content-Length: {len(head)}\r\n"


@asynccontextmanager
async def gateway(directory: Path, triton: str) -> AsyncIterator[str]:
    """Yield the URL of an Envoy with the routes `guarded` and `bare` to the address of a Triton."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    descriptors = Path(str(files("klever.v1alpha1") / "descriptor.binpb"))
    api, registry, admin, access = (directory / f"{name}.sock" for name in ("api", "registry", "admin", "access"))
    config = Gateway("127.0.0.1", port, api, registry, admin, access, descriptors)
    router = EnvoyRouter(directory / "envoy", config, ProcessManager(directory / "processes"), envoy_binary(), ())
    await router.start()
    try:
        for namespace, guard in (("guarded", Guard.TRITON), ("bare", Guard.NONE)):
            target = Target("main", "r", OPEN_INFERENCE, 100, (triton,), guard=guard)
            await router.publish(Route(RouteKey(namespace, NAME), (target,)))
        yield config.url
    finally:
        await router.stop()


async def measured(url: str, kind: str, size: int, envoy: int) -> tuple[float, float]:
    """Requests a second, and milliseconds of Envoy's processor time for each."""
    body, header = request(kind, size)
    load, before, end = Load(), cpu(envoy), time.monotonic() + SECONDS
    await closed(url, body, CONNECTIONS, lambda: time.monotonic() > end, load, headers=header)
    assert not load.failed, load.failed[0]
    return len(load.seconds) / SECONDS, 1000 * (cpu(envoy) - before) / len(load.seconds)


async def compared(directory: Path, triton: str) -> None:
    print("| request | with the guard, req/s | without | ratio | Envoy, ms of CPU a request |\n|---|---|---|---|---|")
    async with gateway(directory, triton) as url:
        (envoy,) = processes(directory)["Envoy"]
        for kind, size in REQUESTS:
            rounds: dict[str, list[tuple[float, float]]] = {"guarded": [], "bare": []}
            for _ in range(ROUNDS):
                for namespace, seen in rounds.items():
                    path = f"/seldon/{namespace}/{NAME}/v2/models/{NAME}/infer"
                    seen.append(await measured(url + path, kind, size, envoy))
            rates = {name: median(rate for rate, _ in seen) for name, seen in rounds.items()}
            spent = {name: median(ms for _, ms in seen) for name, seen in rounds.items()}
            print(
                f"| {size / 1000:g} KB {kind} | {rates['guarded']:.0f} | {rates['bare']:.0f} "
                f"| {rates['guarded'] / rates['bare']:.2f} | {spent['guarded']:.2f} / {spent['bare']:.2f} |"
            )


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        platform = Platform(Path(directory) / "platform")
        platform.start()
        try:
            deploy_echo(platform)
            published = json.loads((platform.data / "envoy" / "published.json").read_bytes())
            triton = published[0]["targets"][0]["http"][0]
            own = Path(directory) / "own"
            own.mkdir()
            asyncio.run(compared(own, triton))
        finally:
            platform.clean_up()


if __name__ == "__main__":
    main()
