"""Who may do what: every route, with no token, a wrong one and the right one."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest
from prometheus_client import CollectorRegistry

from klever.auth.token import token_access
from klever.oci.digest import Digest
from klever.registry.app import application, routes
from klever.registry.auth import Verb
from klever.registry.metrics import Metrics
from tests.unit.registry.client import BY_TOKEN, TOKEN, Client, Served, manifest, serving

CONFIG, SPARE = b"{}", b"spare"
MANIFEST = manifest(CONFIG)
DIGEST = Digest.of(MANIFEST)
SPARE_DIGEST = Digest.of(SPARE)


@dataclass(frozen=True)
class Rule:
    """What a route needs, and how it answers who may; `path` is one of the route, with UPLOAD for a session's name."""

    verb: Verb
    path: str
    status: int
    body: bytes = b""


RULES: Final[dict[tuple[str, str], Rule]] = {
    ("GET", "/v2/"): Rule("login", "/v2/", 200),
    ("GET", "/v2/_catalog"): Rule("pull", "/v2/_catalog", 200),
    ("GET", "/v2/{name}/tags/list"): Rule("pull", "/v2/a/b/tags/list", 200),
    ("GET", "/v2/{name}/referrers/{digest}"): Rule("pull", f"/v2/a/b/referrers/{DIGEST}", 200),
    ("POST", "/v2/{name}/blobs/uploads/"): Rule("push", "/v2/a/b/blobs/uploads/", 202),
    ("GET", "/v2/{name}/blobs/uploads/{upload}"): Rule("push", "/v2/a/b/blobs/uploads/UPLOAD", 204),
    ("PATCH", "/v2/{name}/blobs/uploads/{upload}"): Rule("push", "/v2/a/b/blobs/uploads/UPLOAD", 202, b"x"),
    ("PUT", "/v2/{name}/blobs/uploads/{upload}"): Rule(
        "push", f"/v2/a/b/blobs/uploads/UPLOAD?digest={Digest.of(b'x')}", 201, b"x"
    ),
    ("DELETE", "/v2/{name}/blobs/uploads/{upload}"): Rule("push", "/v2/a/b/blobs/uploads/UPLOAD", 204),
    ("HEAD", "/v2/{name}/blobs/{digest}"): Rule("pull", f"/v2/a/b/blobs/{SPARE_DIGEST}", 200),
    ("GET", "/v2/{name}/blobs/{digest}"): Rule("pull", f"/v2/a/b/blobs/{SPARE_DIGEST}", 200),
    ("DELETE", "/v2/{name}/blobs/{digest}"): Rule("delete", f"/v2/a/b/blobs/{SPARE_DIGEST}", 202),
    ("HEAD", "/v2/{name}/manifests/{target}"): Rule("pull", "/v2/a/b/manifests/v1", 200),
    ("GET", "/v2/{name}/manifests/{target}"): Rule("pull", "/v2/a/b/manifests/v1", 200),
    ("PUT", "/v2/{name}/manifests/{target}"): Rule("push", "/v2/a/b/manifests/v2", 201, MANIFEST),
    ("DELETE", "/v2/{name}/manifests/{target}"): Rule("delete", "/v2/a/b/manifests/v1", 202),
}

Identity = Literal["nobody", "a stranger", "the owner"]


def test_every_route_has_its_rule(served: Served) -> None:
    """A new route fails here until it has a row above, which the tests below then try."""
    table = routes(served.registry, BY_TOKEN, Metrics(CollectorRegistry()))
    plain = re.compile(r":[^{}]+(?=})")  # a pattern within a path
    assert {(route.method, plain.sub("", route.path)): route.verb for route in table} == {
        route: rule.verb for route, rule in RULES.items()
    }
    app = application(served.registry, BY_TOKEN, Metrics(CollectorRegistry()))
    assert {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource} == set(RULES)


@pytest.fixture(params=[False, True], ids=["loopback", "beyond loopback"])
def reads(request: pytest.FixtureRequest) -> bool:
    """Whether reading needs the token too."""
    return bool(request.param)


@pytest.mark.parametrize("identity", ["nobody", "a stranger", "the owner"])
async def test_every_route_asks_who_is_there(tmp_path: Path, reads: bool, identity: Identity) -> None:
    async with serving(tmp_path / "registry", access=token_access(TOKEN, anonymous=not reads)) as served:
        token = {"nobody": "", "a stranger": TOKEN + "x", "the owner": TOKEN}[identity]
        caller = Client(served.client.http, served.client.address, token)
        for (method, _), rule in RULES.items():
            location = await prepare(served.client)
            before = served.files()
            path = rule.path.replace("/v2/a/b/blobs/uploads/UPLOAD", location)
            answer = await caller.ask(
                method, path, rule.body, Content_Type="application/vnd.oci.image.manifest.v1+json"
            )
            allowed = identity == "the owner" or (identity == "nobody" and rule.verb == "pull" and not reads)
            assert answer.status == (rule.status if allowed else 401), (method, path)
            if not allowed:
                assert answer.headers["WWW-Authenticate"] == 'Basic realm="klever"'
                assert method == "HEAD" or answer.code == "UNAUTHORIZED"
                assert served.files() == before


async def prepare(owner: Client) -> str:
    """Have the blob, the manifest `v1` and an upload there; returns the upload's path."""
    await owner.push("a/b", "v1", CONFIG)
    await owner.put_blob("a/b", SPARE)
    return await owner.start_upload("a/b")


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    "header",
    [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic(b"me:secret"), basic(b":secret"), basic("müller:secret".encode())],
)
async def test_the_token_is_a_bearer_token_or_any_users_password(client: Client, header: str) -> None:
    assert (await client.anonymous().ask("GET", "/v2/", Authorization=header)).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "Bearer", "Bearer ", "Bearer secre", "Bearer secret secret", "Bearer sécret", "Bearer \udcff", TOKEN,
        "Digest secret", "Negotiate secret", "Basic", "Basic secret", "Basic é", "Basic \udcff", basic(b"secret"),
        basic(b"me:"), basic(b"me:wrong"), basic(b"me:secret:"), basic(b"me:\xff"), basic(b"secret:me"),
    ],
)  # fmt: skip
async def test_any_other_credentials_are_refused_even_for_reading(client: Client, header: str) -> None:
    reader, raw = client.anonymous(), header.encode("utf-8", "surrogateescape")
    for method, path in (("GET", "/v2/"), ("GET", "/v2/_catalog"), ("POST", "/v2/a/b/blobs/uploads/")):
        assert await raw_status(reader.address, method, path, raw) == 401


async def raw_status(address: str, method: str, path: str, authorization: bytes) -> int:
    """The status of an answer to a header of any bytes."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n".encode())
    writer.write(b"Authorization: " + authorization + b"\r\n\r\n")
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])
