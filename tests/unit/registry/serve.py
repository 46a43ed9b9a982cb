"""A registry in a process of its own, to be killed: `python serve.py ROOT` prints its `host:port`.

The token is `secret`; reading needs none. Ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from klever.auth.token import token_access
from klever.registry.app import application
from klever.registry.metrics import Metrics
from klever.registry.registry import Registry
from klever.registry.server import RegistryServer


async def serve(root: Path) -> None:
    registry = await Registry.open(root)
    app = application(registry, token_access("secret", anonymous=True), Metrics(CollectorRegistry()))
    server = RegistryServer(registry, app)
    print(await server.start(("127.0.0.1", 0)), flush=True)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop()
    await registry.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
