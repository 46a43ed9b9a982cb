"""Eight clients that attack a platform at once, from a process of their own; each attack returns what came of it."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from http.client import HTTPException
from multiprocessing import get_context
from typing import Any

import grpc

from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.v1alpha1.serving_service_pb2 import WatchServingsRequest
from klever.v1alpha1.serving_service_pb2_grpc import ServingServiceStub
from tests.attacks.http2 import Request, compressed, reset_rapidly
from tests.attacks.pushing import pack_layer, push
from tests.attacks.serving import deploy, failure, serving
from tests.attacks.test_decompression import CREATE, LIST
from tests.attacks.test_signature_bombs import BOMBS, MODEL, signature, tensor
from tests.attacks.test_triton_guard import HTTP
from tests.attacks.triton import send
from tests.e2e.platform import Platform
from tests.unit.api.test_environment import HOSTILE

__all__ = ["ATTACKS", "CLIENTS", "TAGGED", "Crowd", "crowd", "seed"]

CLIENTS = 8
SERVINGS = "/api/v1alpha1/namespaces/default/servings"
TAGGED, TAGS = "crowd/tagged", 500
MODELS = "/api/v1alpha1/projects/crowd/models"
LONG = "crowd/long"
JSON = {"Content-Type": "application/json"}
LARGEST = "crowd/largest"


class Crowd:
    """The process of the clients."""

    def __init__(self, platform: Platform, processes: ProcessPoolExecutor) -> None:
        self._platform = copy(platform)
        self._platform.process = None  # it cannot be sent to another process
        self._processes = processes

    def begin(self, attack: str, seconds: float) -> Any:
        """Start eight clients that repeat an attack for some time; the future is how often each outcome came."""
        return self._processes.submit(_run, self._platform, attack, seconds)


@contextmanager
def crowd(platform: Platform) -> Iterator[Crowd]:
    with ProcessPoolExecutor(1, get_context("spawn"), os.nice, (10,)) as processes:
        yield Crowd(platform, processes)


def _run(platform: Platform, attack: str, seconds: float) -> Counter[str]:
    end = time.monotonic() + seconds

    def client() -> Counter[str]:
        outcomes: Counter[str] = Counter()
        while time.monotonic() < end:
            outcomes[ATTACKS[attack].once(platform)] += 1
        return outcomes

    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(client) for _ in range(CLIENTS)]
        return sum((one.result() for one in clients), Counter())


def seed(platform: Platform) -> None:
    """Push what the attacks use."""
    files = {"directoryStructure": ["model/model.onnx"]}  # a render reads the names there
    push(platform, LARGEST, signature(tensor(1 << 26)) | files, pack_layer({"model.onnx": MODEL}))
    push(platform, TAGGED, signature(tensor(1)), pack_layer({"model.onnx": MODEL}))
    for version in ("v1", "v2", "v3"):
        config = {"format": "ONNX", "description": version * 450_000}
        push(platform, LONG, config, pack_layer({"model.onnx": MODEL}), version)
    _, manifest = _ask(platform, "GET", f"/v2/{TAGGED}/manifests/v1", Accept=mediatypes.IMAGE_MANIFEST)

    def tag(number: int) -> int:
        path = f"/v2/{TAGGED}/manifests/t{number}"
        return _ask(platform, "PUT", path, manifest, **{"Content-Type": mediatypes.IMAGE_MANIFEST})[0]

    with ThreadPoolExecutor(CLIENTS) as threads:
        assert set(threads.map(tag, range(TAGS))) == {201}


def _ask(platform: Platform, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """Send a request as somebody with the token; the status is 0 if the connection broke."""
    headers = {"Authorization": f"Bearer {platform.token}", **headers}
    request = urllib.request.Request(platform.url + path, body or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (OSError, HTTPException):
        return 0, b""


# The attacks


_turns = itertools.count()


def _serving(*predictors: dict[str, Any]) -> bytes:
    return json.dumps({"metadata": {"name": "refused"}, "spec": {"predictors": predictors}}).encode()


_VARIABLES = _serving(
    *({"name": f"p{n}", "model": "team/m:v1", "env": [{"name": f"A{m}"} for m in range(64)]} for n in range(16))
)


def deploy_bombs(platform: Platform) -> str:
    """Push metadata beyond the limits, and deploy it."""
    bomb = list(BOMBS.values())[next(_turns) % len(BOMBS)]
    model = push(platform, f"crowd/m{uuid.uuid4().hex[:10]}", bomb, pack_layer({"model.onnx": MODEL}))
    name = deploy(platform, model)
    failure(platform, name)
    return str(_ask(platform, "DELETE", f"{SERVINGS}/{name}")[0])


def render_bombs(platform: Platform) -> str:
    """Render the largest example that is allowed, or 1,024 variables."""
    body = (serving("it", f"{LARGEST}:v1").encode(), _VARIABLES)[next(_turns) % 2]
    return str(_ask(platform, "POST", f"{SERVINGS}:render", body, **JSON)[0])


_BOMB = compressed(bytes(64 << 20))


def compressed_messages(platform: Platform) -> str:
    path = (CREATE, LIST)[next(_turns) % 2]
    return "answered" if Request(platform.port, path, _BOMB, grpc_encoding="gzip").answered else "ended"


def many_tags(platform: Platform) -> str:
    paths = (
        f"/v2/{TAGGED}/tags/list",
        f"{MODELS}/tagged/versions?pageSize=1000",
        f"{MODELS}/tagged/versions?orderBy=create_time",
        MODELS,
    )
    return str(_ask(platform, "GET", paths[next(_turns) % len(paths)])[0])


def kill_triton(platform: Platform) -> str:
    return str(send(platform, list(HTTP.values())[next(_turns) % len(HTTP)])[0])


def large_headers(platform: Platform) -> str:
    size = (8_100, 8_200, 60_000)[next(_turns) % 3]
    return str(_ask(platform, "GET", ("/v2/", SERVINGS)[next(_turns) % 2], b"", **{"X-Large": "a" * size})[0])


def uploads(platform: Platform) -> str:
    """Upload 16 MiB with a digest that is wrong: nothing of it stays."""
    path = f"/v2/crowd/uploads/blobs/uploads/?digest={Digest.of(b'other')}"
    return str(_ask(platform, "POST", path, bytes(16 << 20), **{"Content-Type": "application/octet-stream"})[0])


def manifests(platform: Platform) -> str:
    """Push a manifest of 4 MiB that holds 1.2 million empty objects."""
    kind = mediatypes.IMAGE_MANIFEST
    objects = b"[" + b",".join([b"{}"] * 1_200_000) + b"]"
    body = b'{"schemaVersion": 2, "x": ' + objects + b"}"
    return str(_ask(platform, "PUT", "/v2/crowd/manifests/manifests/v1", body, **{"Content-Type": kind})[0])


def damaged_blobs(platform: Platform) -> str:
    """Upload a blob, flip a bit of it on disk, and pull it."""
    content = os.urandom(4 << 20)
    digest = Digest.of(content)
    path = "/v2/crowd/damaged/blobs"
    _ask(platform, "POST", f"{path}/uploads/?digest={digest}", content, **{"Content-Type": "application/octet-stream"})
    with (platform.data / "registry/blobs/sha256" / digest.hex).open("r+b") as file:
        file.write(bytes([content[0] ^ 1]))
    status, received = _ask(platform, "GET", f"{path}/{digest}")
    return "sent" if status == 200 and len(received) == len(content) else "refused"


def hostile_environment(platform: Platform) -> str:
    env = [{"name": name, "value": "/tmp/evil"} for name in HOSTILE]
    return _create(platform, {"name": "main", "model": "team/m:v1", "env": env})


def hostile_expressions(platform: Platform) -> str:
    """Create a Serving with 240 expressions that Envoy would refuse."""
    expressions = ("(a{1,1000}){1,1000}", "(" * 500 + "a" + ")" * 500, r"(?:a|aa){500}{20}", r"\C(?=x)")
    headers = [{"name": f"x{n}", "regex": expressions[next(_turns) % len(expressions)]} for n in range(16)]
    matches = [{"headers": headers}]
    names = [f"p{number}" for number in range(15)]
    return _create(platform, *({"name": name, "model": "team/m:v1", "matches": matches} for name in names))


def unicode_expressions(platform: Platform) -> str:
    """Render, without a token, expressions that take seconds to compile."""
    headers = [{"name": f"x{n}", "regex": r"[\pL\pM\pN\pP\pS\pZ]{99}" * 8} for n in range(16)]
    return _render(platform, json.dumps({"name": "main", "model": "a/b:v1", "matches": [{"headers": headers}]}))


def empty_items(platform: Platform) -> str:
    """Render lists of hundreds of thousands of empty messages."""
    many = "[" + ",".join(["{}"] * 600_000) + "]"
    lists = (f'"env": {many}', f'"matches": [{{"headers": {many}}}]', f'"model": "{"a." * 1_500_000}"')
    return _render(platform, f'{{"name": "main", {lists[next(_turns) % len(lists)]}}}')


def _render(platform: Platform, predictor: str) -> str:
    body = f'{{"metadata": {{"name": "x"}}, "spec": {{"predictors": [{predictor}]}}}}'
    return str(_ask(platform, "POST", f"{SERVINGS}:render", body.encode(), **JSON)[0])


def _create(platform: Platform, *predictors: dict[str, Any]) -> str:
    return str(_ask(platform, "POST", SERVINGS, _serving(*predictors), **JSON)[0])


def watches(platform: Platform) -> str:
    """Hold 80 watches for two seconds: 640 together are more than the platform lets be open."""
    with grpc.insecure_channel(f"127.0.0.1:{platform.port}") as channel:
        stub = ServingServiceStub(channel)
        streams = [stub.WatchServings(WatchServingsRequest(namespace="default"), timeout=2) for _ in range(80)]
        for stream in streams:
            with suppress(grpc.RpcError):
                list(stream)
        return ",".join(sorted({stream.code().name for stream in streams}))


def short_watches(platform: Platform) -> str:
    """Open 100 watches and leave them at once: with all clients, 800 at full speed."""
    with grpc.insecure_channel(f"127.0.0.1:{platform.port}") as channel:
        stub = ServingServiceStub(channel)
        streams = [stub.WatchServings(WatchServingsRequest(namespace="default"), timeout=10) for _ in range(100)]
        for stream in streams:
            stream.cancel()  # type: ignore[no-untyped-call]  # grpc's stubs
    return "left"


def slow_readers(platform: Platform) -> str:
    """Ask for 900 kB on 50 connections, and read nothing for a second: 400 answers together."""
    asked = (
        f"GET /api/v1alpha1/projects/crowd/models/long/versions/v1 HTTP/1.1\r\nHost: 127.0.0.1:{platform.port}\r\n\r\n"
    )
    with ExitStack() as held:
        for _ in range(15):
            connection = held.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.connect(("127.0.0.1", platform.port))
            connection.sendall(asked.encode())
        time.sleep(1)  # as long as the attack lasts
    return "held"


def rapid_resets(platform: Platform) -> str:
    """Open streams and reset them, as fast as the connection takes them."""
    return "ended" if reset_rapidly(platform.port, LIST, 50_000) else "open"


@dataclass(frozen=True)
class Attack:
    """What one client does, over and over, and what may come of it."""

    once: Callable[[Platform], str]
    outcomes: frozenset[str]


def _attack(once: Callable[[Platform], str], *outcomes: str) -> Attack:
    return Attack(once, frozenset(outcomes))


ATTACKS = {
    attack.once.__name__: attack
    for attack in (
        _attack(deploy_bombs, "200"),
        _attack(render_bombs, "200", "400", "429"),
        _attack(compressed_messages, "answered"),
        _attack(many_tags, "200"),
        _attack(kill_triton, "400"),
        _attack(large_headers, "200", "431"),
        _attack(uploads, "400"),
        _attack(manifests, "400", "429"),
        _attack(damaged_blobs, "refused"),
        _attack(hostile_environment, "400"),
        _attack(hostile_expressions, "400"),
        _attack(unicode_expressions, "400", "429"),
        _attack(empty_items, "400", "429"),
        _attack(short_watches, "left"),
        _attack(rapid_resets, "ended"),
        _attack(slow_readers, "held"),
        _attack(watches, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED,RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"),
    )
}
