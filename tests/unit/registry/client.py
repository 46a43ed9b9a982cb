"""Who talks to a registry in these tests, over HTTP, and the registries that they talk to."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from prometheus_client import CollectorRegistry
from yarl import URL

from klever.artifacts.dialects import ormb
from klever.auth import Access
from klever.auth.token import token_access
from klever.limits import DEFAULTS, Limits
from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.oci.manifest import Descriptor, Manifest
from klever.registry.app import application
from klever.registry.events import Listener
from klever.registry.metrics import Metrics
from klever.registry.registry import Registry
from klever.registry.server import RegistryServer

TOKEN = "secret"
HOUR = 3600.0
BY_TOKEN = token_access(TOKEN, anonymous=True)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code of the distribution specification; empty where nothing was refused."""
        return str(self.json["errors"][0]["code"]) if self.status >= 400 else ""

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.code


@dataclass(frozen=True)
class Client:
    """Asks the registry at `address` (HOST:PORT) with `token`, none if that is empty."""

    http: aiohttp.ClientSession
    address: str
    token: str = TOKEN

    def anonymous(self) -> Client:
        return replace(self, token="")

    async def ask(
        self, method: str, path: str, body: bytes | AsyncIterable[bytes] | None = None, **headers: str
    ) -> Answer:
        """`path` is sent as it is; a header's name is written with `_` for `-`."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(f"http://{self.address}{path}", encoded=True)
        data = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self.http.request(method, url, data=data, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def start_upload(self, repository: str) -> str:
        answer = await self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert answer.status == 202
        return answer.headers["Location"]

    async def put_blob(self, repository: str, content: bytes, digest: str = "") -> Answer:
        return await self.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest or Digest.of(content)}", content)

    async def get_blob(self, repository: str, digest: str, **headers: Any) -> Answer:
        return await self.ask("GET", f"/v2/{repository}/blobs/{digest}", **headers)

    async def put_manifest(self, repository: str, target: str, content: bytes, **headers: str) -> Answer:
        headers.setdefault("Content_Type", mediatypes.IMAGE_MANIFEST)
        return await self.ask("PUT", f"/v2/{repository}/manifests/{target}", content, **headers)

    async def get_manifest(self, repository: str, target: str) -> Answer:
        return await self.ask("GET", f"/v2/{repository}/manifests/{target}")

    async def push(self, repository: str, tag: str, config: bytes = b"{}", *layers: bytes) -> Digest:
        """Push a whole artifact; returns the digest of its manifest."""
        for content in (config, *layers):
            answer = await self.put_blob(repository, content)
            assert answer.status == 201, answer
        answer = await self.put_manifest(repository, tag, manifest(config, *layers))
        assert answer.status == 201, answer
        return Digest(answer.headers["Docker-Content-Digest"])


def manifest(config: bytes, *layers: bytes, media_type: str = mediatypes.IMAGE_MANIFEST) -> bytes:
    return Manifest(
        Descriptor.of(mediatypes.IMAGE_CONFIG, config),
        tuple(Descriptor.of(ormb.LAYER, layer) for layer in layers),
        media_type,
    ).encode()


@dataclass
class Served:
    """A registry of this process on a free port."""

    root: Path
    registry: Registry
    client: Client

    def files(self) -> list[str]:
        """What lies on its disk: uploads and blobs."""
        return files(self.root)


@asynccontextmanager
async def serving(
    root: Path,
    *,
    access: Access = BY_TOKEN,
    listener: Listener | None = None,
    grace: float = HOUR,
    clock: Callable[[], float] = time.time,
    drain: float = 1.0,
    limits: Limits = DEFAULTS,
    **options: Any,
) -> AsyncIterator[Served]:
    """`options` are further ones of `Registry.open`."""
    registry = await Registry.open(root, listener=listener, grace=grace, clock=clock, limits=limits, **options)
    app = application(registry, access, Metrics(CollectorRegistry()), limits=limits)
    server = RegistryServer(registry, app, upkeep=HOUR)
    address = await server.start(("127.0.0.1", 0), drain=drain)
    try:
        async with session() as http:
            yield Served(root, registry, Client(http, address))
    finally:
        await server.stop()
        await registry.close()


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60))


def files(root: Path) -> list[str]:
    paths = (path for name in ("blobs", "uploads") for path in (root / name).rglob("*"))
    return sorted(str(path.relative_to(root)) for path in paths if path.is_file())


class Process:
    """A registry in a process of its own, to be killed; a context manager."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("serve.py")), str(root)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.address = self._process.stdout.readline().strip()
        assert self.address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def resident(self) -> int:
        """Bytes of memory that it holds."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) << 10

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> int:
        """Wait for its end; returns its exit code."""
        return self._process.wait(60)

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
