"""The client against a registry that misbehaves on demand: cuts, lies, redirects, challenges."""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from klever.errors import (
    ConflictError,
    DeadlineError,
    ExhaustedError,
    FailedPreconditionError,
    IntegrityError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from klever.oci import mediatypes
from klever.oci.auth import Authenticator, Session
from klever.oci.client import RegistryClient
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor
from klever.oci.registries import Credentials, Endpoint

CONTENT = os.urandom(3 << 20)
BLOB = Descriptor.of(mediatypes.OCTET_STREAM, CONTENT)
CERTIFICATE = Path(__file__).parents[2] / "data/tls/localhost.pem"
MANIFEST = b'{"schemaVersion":2}'


@dataclass
class FakeRegistry:
    """A registry in memory. `cut_get` and `cut_patch`: after how many bytes the next answers or requests break off.

    `late`: how many bytes of an upload the next status does not count yet.
    """

    url: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    upload: bytearray = field(default_factory=bytearray)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    cut_get: list[int] = field(default_factory=list)
    cut_patch: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    ranges: bool = True
    challenge: str = ""
    accepted: str = ""
    stored_digest: str = ""
    stall: threading.Event | None = None

    def requests(self, method: str) -> list[dict[str, str]]:
        return [headers for seen, _, headers in self.seen if seen == method]


class Handler(BaseHTTPRequestHandler):
    fake: FakeRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self) -> None:
        fake, url = self.fake, urlsplit(self.path)
        fake.seen.append((self.command, self.path, dict(self.headers)))
        if fake.stall:
            fake.stall.wait(30)
        fixed = fake.answers.get(f"{self.command} {url.path}")
        if fixed:
            self.answer(*fixed)
        elif fake.challenge and self.headers.get("Authorization") != fake.accepted:
            self.answer(401, {"WWW-Authenticate": fake.challenge})
        elif "/uploads/" in url.path:
            self.upload(parse_qs(url.query).get("digest", [""])[0])
        elif "/blobs/" in url.path:
            self.blob(url.path.rpartition("/")[2])
        elif "/manifests/" in url.path:
            self.manifest(url.path.rpartition("/")[2])
        else:
            self.answer(200)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any  # noqa: N815

    def blob(self, digest: str) -> None:
        content = self.fake.blobs.get(digest)
        if content is None:
            return self.answer(404)
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.fake.ranges else 0
        part = content[start:]
        headers = {"Content-Length": str(len(part)), "Content-Range": f"bytes {start}-{len(content) - 1}/*"}
        if self.command == "GET" and self.fake.cut_get:
            self.answer(206 if start else 200, headers, part[: self.fake.cut_get.pop(0)])
            self.close_connection = True
            return None
        return self.answer(206 if start else 200, headers, part)

    def upload(self, digest: str) -> None:
        fake, location = self.fake, {"Location": "/v2/p/m/blobs/uploads/1?state=x"}
        if self.command == "POST":
            fake.upload = bytearray()  # what a broken request of another upload still brings is not this one's
            self.answer(202, location)
        elif self.command == "GET":
            there = len(fake.upload) - (fake.late.pop() if fake.late else 0)
            self.answer(204, {**location, "Range": f"0-{max(0, there - 1)}"})
        elif self.receive():
            self.taken(digest, location)

    def taken(self, digest: str, location: dict[str, str]) -> None:
        if self.command == "PATCH":
            return self.answer(202, location)
        content = bytes(self.fake.upload)
        if Digest.of(content) != digest:
            return self.answer(400, body=b'{"errors":[{"code":"DIGEST_INVALID","message":"not that"}]}')
        self.fake.blobs[digest] = content
        return self.answer(201, {"Docker-Content-Digest": self.fake.stored_digest or digest})

    def receive(self) -> bool:
        left, upload = int(self.headers["Content-Length"]), self.fake.upload
        begin = self.headers.get("Content-Range", "").partition("-")[0]
        if begin and int(begin) != len(upload):
            self.rfile.read(left)
            self.answer(416)
            return False
        if self.command == "PATCH" and self.fake.cut_patch:
            upload += self.rfile.read(min(left, self.fake.cut_patch.pop(0)))
            self.close_connection = True
            return False
        upload += self.rfile.read(left)
        return True

    def manifest(self, target: str) -> None:
        fake = self.fake
        if self.command == "PUT":
            fake.manifests[target] = self.rfile.read(int(self.headers["Content-Length"]))
            return self.answer(201, {"Docker-Content-Digest": Digest.of(fake.manifests[target])})
        if target not in fake.manifests:
            return self.answer(404, body=b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such manifest"}]}')
        if self.command == "DELETE":
            del fake.manifests[target]
            return self.answer(202)
        content = fake.manifests[target]
        digest = {"Docker-Content-Digest": fake.stored_digest or Digest.of(content)}
        return self.answer(200, {"Content-Type": mediatypes.IMAGE_MANIFEST, **digest}, content)


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """The client hung up: that is what some tests are about."""


def serve(certificate: Path | None = None) -> Iterator[FakeRegistry]:
    fake = FakeRegistry()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"fake": fake}))
    fake.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    yield from serve()


@pytest.fixture
def stranger() -> Iterator[FakeRegistry]:
    yield from serve()


@pytest.fixture
def tls_registry() -> Iterator[FakeRegistry]:
    yield from serve(CERTIFICATE)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klever.oci.transfer._FIRST_PAUSE", 0.001)


def client(registry: FakeRegistry, *, timeout: float = 10, credentials: Credentials | None = None) -> RegistryClient:
    return RegistryClient(Endpoint("registry", registry.url, credentials), timeout=timeout)


def download(registry: FakeRegistry, layout: Layout, **options: Any) -> None:
    with layout.writer(expected=BLOB.digest, size=BLOB.size) as writer:
        client(registry, **options).get_blob("p/m", BLOB, writer)
        writer.commit()


def upload(registry: FakeRegistry, layout: Layout, content: bytes = CONTENT) -> list[int]:
    blob = layout.put(mediatypes.OCTET_STREAM, content)
    steps: list[int] = []
    client(registry).put_blob("p/m", blob, layout.blob_path(blob.digest), progress=lambda done, _: steps.append(done))
    return steps


def test_a_download_goes_on_where_it_was_cut(registry: FakeRegistry, layout: Layout) -> None:
    registry.blobs[BLOB.digest] = CONTENT
    registry.cut_get = [1_000_000, 0, 500_000]
    download(registry, layout)
    assert layout.blob_path(BLOB.digest).read_bytes() == CONTENT
    assert [x.get("Range") for x in registry.requests("GET")] == [
        None, "bytes=1000000-", "bytes=1000000-", "bytes=1500000-",
    ]  # fmt: skip


def test_a_registry_without_ranges_is_read_from_the_start_again(registry: FakeRegistry, layout: Layout) -> None:
    registry.blobs[BLOB.digest], registry.cut_get, registry.ranges = CONTENT, [2_000_000], False
    download(registry, layout)
    assert layout.blob_path(BLOB.digest).read_bytes() == CONTENT


def test_downloading_gives_up_after_a_few_cuts_without_progress(registry: FakeRegistry, layout: Layout) -> None:
    registry.blobs[BLOB.digest], registry.cut_get = CONTENT, [0] * 20
    with pytest.raises(UnavailableError, match=r"after 0 of 3145728 bytes"):
        download(registry, layout)
    assert len(registry.requests("GET")) == 6
    assert not list(layout.root.glob("blobs/*/*"))


@pytest.mark.parametrize("served", [CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_other_bytes_than_promised_are_refused(registry: FakeRegistry, layout: Layout, served: bytes) -> None:
    registry.blobs[BLOB.digest] = served
    with pytest.raises(IntegrityError, match=BLOB.digest):
        download(registry, layout)
    assert not list(layout.root.glob("blobs/*/*"))


def test_a_silent_registry_meets_the_deadline(registry: FakeRegistry, layout: Layout) -> None:
    registry.stall = threading.Event()
    began = time.monotonic()
    try:
        with pytest.raises(UnavailableError):
            download(registry, layout, timeout=0.1)
        with pytest.raises(DeadlineError, match="no answer within"):
            client(registry, timeout=0.1).tags("p/m")
    finally:
        registry.stall.set()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("cuts", [[], [0], [1_500_000], [1_500_000, 700_000]])
def test_an_upload_goes_on_where_it_was_cut(registry: FakeRegistry, layout: Layout, cuts: list[int]) -> None:
    registry.cut_patch = list(cuts)
    steps = upload(registry, layout)
    assert registry.blobs[BLOB.digest] == CONTENT
    assert steps[-1] == BLOB.size
    offsets = [x.get("Content-Range", "0-").partition("-")[0] for x in registry.requests("PATCH")]
    assert offsets == [str(sum(cuts[:n])) for n in range(len(cuts) + 1)]


def test_an_upload_bears_a_status_that_comes_too_early(registry: FakeRegistry, layout: Layout) -> None:
    registry.cut_patch, registry.late = [1_500_000], [1000]
    upload(registry, layout)
    assert registry.blobs[BLOB.digest] == CONTENT
    assert [x.get("Content-Range", "") for x in registry.requests("PATCH")] == [
        "", f"1499000-{BLOB.size - 1}", f"1500000-{BLOB.size - 1}",
    ]  # fmt: skip


def test_small_and_empty_blobs_take_one_request(registry: FakeRegistry, layout: Layout) -> None:
    for content in (b"{}", b""):
        upload(registry, layout, content)
        assert registry.blobs[Digest.of(content)] == content
    assert not registry.requests("PATCH")


def test_existing_blobs_are_not_sent(registry: FakeRegistry, layout: Layout) -> None:
    registry.blobs[BLOB.digest] = CONTENT
    assert upload(registry, layout) == [BLOB.size]
    assert not registry.requests("POST")
    registry.blobs[BLOB.digest] = CONTENT[1:]
    with pytest.raises(IntegrityError, match="has 3145727 bytes"):
        upload(registry, layout)


def test_damage_on_the_way_up_is_an_integrity_error(registry: FakeRegistry, layout: Layout) -> None:
    blob = layout.put(mediatypes.OCTET_STREAM, CONTENT)
    layout.blob_path(blob.digest).write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(IntegrityError, match="not that"):
        client(registry).put_blob("p/m", blob, layout.blob_path(blob.digest))
    layout.blob_path(blob.digest).write_bytes(CONTENT[:-1])
    with pytest.raises(IntegrityError, match="has 3145727 bytes"):
        client(registry).put_blob("p/m", blob, layout.blob_path(blob.digest))
    registry.stored_digest = Digest.of(b"other")
    with pytest.raises(IntegrityError, match="the registry stored"):
        upload(registry, layout, b"small")


def test_manifests_are_verified_both_ways(registry: FakeRegistry) -> None:
    one = client(registry)
    digest = one.put_manifest("p/m", "v1", MANIFEST, mediatypes.IMAGE_MANIFEST)
    assert digest == Digest.of(MANIFEST) == one.get_digest("p/m", "v1")
    fetched = one.get_manifest("p/m", "v1")
    assert (fetched.content, fetched.digest, fetched.media_type) == (MANIFEST, digest, mediatypes.IMAGE_MANIFEST)
    registry.manifests[Digest.of(b"other")] = MANIFEST
    with pytest.raises(IntegrityError, match="does not match"):
        one.get_manifest("p/m", Digest.of(b"other"))
    registry.stored_digest = Digest.of(b"other")
    with pytest.raises(IntegrityError, match="does not match"):
        one.get_manifest("p/m", "v1")


def test_a_tag_that_moved_is_not_overwritten(registry: FakeRegistry) -> None:
    one = client(registry)
    before = one.put_manifest("p/m", "v1", MANIFEST, mediatypes.IMAGE_MANIFEST)
    after = one.put_manifest("p/m", "v1", b'{"b":2}', mediatypes.IMAGE_MANIFEST, expected=before)
    assert registry.requests("PUT")[-1]["If-Match"] == f'"{before}"'
    with pytest.raises(ConflictError, match=f"names {after}, not {before}"):
        one.put_manifest("p/m", "v1", b'{"c":3}', mediatypes.IMAGE_MANIFEST, expected=before)
    assert registry.manifests["v1"] == b'{"b":2}'
    one.delete_manifest("p/m", "v1")
    with pytest.raises(ConflictError, match="names nothing"):
        one.put_manifest("p/m", "v1", b'{"c":3}', mediatypes.IMAGE_MANIFEST, expected=before)


def test_an_endless_answer_is_cut_off(registry: FakeRegistry) -> None:
    registry.manifests["v1"] = bytes(5 << 20)
    with pytest.raises(InvalidError, match="larger than 4194304 bytes"):
        client(registry).get_manifest("p/m", "v1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError), (401, UnauthenticatedError), (403, PermissionDeniedError), (404, NotFoundError),
        (412, ConflictError), (507, ExhaustedError), (429, UnavailableError), (503, UnavailableError),
    ],
)  # fmt: skip
def test_answers_become_errors_with_the_registrys_words(
    registry: FakeRegistry, status: int, kind: type[Exception]
) -> None:
    body = json.dumps({"errors": [{"code": "SOME", "message": "so it is"}]}).encode()
    registry.answers = {f"{method} /v2/p/m/manifests/v1": (status, {}, body) for method in ("PUT", "GET")}
    with pytest.raises(kind, match="so it is"):
        client(registry).put_manifest("p/m", "v1", MANIFEST, mediatypes.IMAGE_MANIFEST)
    with pytest.raises(kind, match="so it is"):
        client(registry).get_manifest("p/m", "v1")


def test_tags_of_all_pages_but_not_of_another_host(registry: FakeRegistry, stranger: FakeRegistry) -> None:
    path = "/v2/p/m/tags/list"
    registry.answers[f"GET {path}"] = (200, {"Link": '</v2/p/m/more?n=2>; rel="next"'}, b'{"tags":["a","b"]}')
    registry.answers["GET /v2/p/m/more"] = (200, {}, b'{"tags":["c"]}')
    assert client(registry).tags("p/m") == ["a", "b", "c"]
    registry.answers[f"GET {path}"] = (200, {"Link": f'<{stranger.url}/x>; rel="next"'}, b'{"tags":["a"]}')
    with pytest.raises(UnavailableError, match="another host"):
        client(registry).tags("p/m")
    assert not stranger.seen


def test_dots_in_a_project_do_not_make_it_a_host(registry: FakeRegistry) -> None:
    registry.manifests["v1"] = MANIFEST
    assert client(registry).get_manifest("my.project/m", "v1").content == MANIFEST
    assert registry.seen[-1][1] == "/v2/my.project/m/manifests/v1"


def test_basic_credentials_answer_a_challenge(registry: FakeRegistry, layout: Layout) -> None:
    registry.challenge = 'Basic realm="here"'
    registry.accepted = "Basic " + base64.b64encode(b"me:secret").decode()
    registry.blobs[BLOB.digest] = CONTENT
    me = client(registry, credentials=Credentials("me", "secret"))
    with layout.writer(expected=BLOB.digest, size=BLOB.size) as writer:
        me.get_blob("p/m", BLOB, writer)
        writer.commit()
    me.check()
    with pytest.raises(UnauthenticatedError, match="rejected the credentials"):
        client(registry, credentials=Credentials("me", "wrong")).check()
    with pytest.raises(UnauthenticatedError):
        client(registry).check()


def test_a_token_is_sent_at_once_and_never_elsewhere(
    registry: FakeRegistry, stranger: FakeRegistry, layout: Layout
) -> None:
    registry.challenge, registry.accepted = 'Bearer realm="http://nowhere/"', "Bearer t0ken"
    path = f"/v2/p/m/blobs/{BLOB.digest}"
    stranger.blobs[BLOB.digest] = CONTENT
    registry.answers[f"GET {path}"] = (307, {"Location": f"{stranger.url}{path}"}, b"")
    with layout.writer(expected=BLOB.digest, size=BLOB.size) as writer:
        client(registry, credentials=Credentials(token="t0ken")).get_blob("p/m", BLOB, writer)
        writer.commit()
    assert [x.get("Authorization") for x in registry.requests("GET")] == ["Bearer t0ken"]
    assert [x.get("Authorization") for x in stranger.requests("GET")] == [None]


def test_a_manifest_redirected_elsewhere_is_fetched_without_credentials(
    registry: FakeRegistry, stranger: FakeRegistry
) -> None:
    stranger.manifests["v1"] = MANIFEST
    path = "/v2/p/m/manifests/v1"
    elsewhere = stranger.url.replace("127.0.0.1", "localhost")
    registry.answers[f"GET {path}"] = (307, {"Location": f"{elsewhere}{path}"}, b"")
    assert client(registry, credentials=Credentials(token="t")).get_manifest("p/m", "v1").content == MANIFEST
    assert "Authorization" not in stranger.requests("GET")[0]


@pytest.mark.parametrize("location", ["http+unix:///run/registry.sock", "http+unix://%2Frun%2Fregistry.sock/v2/x"])
def test_nothing_leads_to_a_socket(registry: FakeRegistry, layout: Layout, location: str) -> None:
    for path in ("/v2/p/m/manifests/v1", f"/v2/p/m/blobs/{BLOB.digest}"):
        registry.answers[f"GET {path}"] = (307, {"Location": location}, b"")
    with pytest.raises(UnavailableError):
        client(registry).get_manifest("p/m", "v1")
    with pytest.raises(UnavailableError), layout.writer(expected=BLOB.digest, size=BLOB.size) as writer:
        client(registry).get_blob("p/m", BLOB, writer)
    registry.answers.clear()
    registry.challenge, registry.accepted = f'Bearer realm="{location}"', "Bearer made"
    with pytest.raises(UnauthenticatedError):
        client(registry).get_manifest("p/m", "v1")


def test_a_foreign_realm_is_not_told_the_password(registry: FakeRegistry, stranger: FakeRegistry) -> None:
    registry.challenge = f'Bearer realm="{stranger.url}/token",service="s",scope="repository:p/m:pull"'
    registry.accepted, registry.manifests["v1"] = "Bearer made", MANIFEST
    stranger.answers["GET /token"] = (200, {}, b'{"token":"made"}')
    endpoint = Endpoint("registry", registry.url, Credentials("me", "secret"))
    assert RegistryClient(endpoint).get_manifest("p/m", "v1").content == MANIFEST
    assert "Authorization" not in stranger.requests("GET")[0]
    assert "scope=repository%3Ap%2Fm%3Apull" in stranger.seen[0][1]

    trusting = replace(endpoint, realms=(urlsplit(stranger.url).netloc,))
    RegistryClient(trusting).get_manifest("p/m", "v1")
    assert stranger.requests("GET")[-1]["Authorization"].startswith("Basic ")

    stranger.answers["GET /token"] = (401, {}, b"")
    with pytest.raises(UnauthenticatedError, match="credentials were not sent"):
        RegistryClient(endpoint).get_manifest("p/m", "v1")


@pytest.mark.parametrize("credentials", [Credentials(token="t"), Credentials("me", "secret")])
def test_credentials_do_not_travel_in_plain_text(credentials: Credentials) -> None:
    endpoint = Endpoint("r", "http://registry.example", credentials)
    with pytest.raises(FailedPreconditionError) as caught:
        RegistryClient(endpoint)
    assert caught.value.reason == "PLAINTEXT"
    RegistryClient(replace(endpoint, plaintext=True)).close()
    RegistryClient(replace(endpoint, url="https://registry.example")).close()
    RegistryClient(replace(endpoint, credentials=None)).close()


def test_a_realm_beyond_loopback_is_not_told_the_password_in_plain_text(registry: FakeRegistry) -> None:
    endpoint = Endpoint("r", registry.url, Credentials("me", "secret"), realms=("192.0.2.1",))
    authenticator = Authenticator(endpoint, Session(endpoint, 1.0))
    assert not authenticator._trusts("http://192.0.2.1/token")
    assert authenticator._trusts("https://192.0.2.1/token")


def test_the_environment_adds_nothing(registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client(registry).check()
    assert "Authorization" not in registry.seen[0][2]


def test_a_mirror_is_asked_first_and_the_registry_for_the_rest(
    registry: FakeRegistry, stranger: FakeRegistry, layout: Layout
) -> None:
    registry.manifests["v1"], registry.blobs[BLOB.digest] = MANIFEST, CONTENT
    stranger.blobs[BLOB.digest], stranger.cut_get = CONTENT, [1_000_000] + [0] * 9
    both = RegistryClient(Endpoint("r", registry.url, mirror=Endpoint("r", stranger.url)))
    assert both.get_manifest("p/m", "v1").content == MANIFEST
    with layout.writer(expected=BLOB.digest, size=BLOB.size) as writer:
        both.get_blob("p/m", BLOB, writer)
        writer.commit()
    assert registry.requests("GET")[-1]["Range"] == "bytes=1000000-"


def test_no_registry_there_is_said_plainly() -> None:
    with pytest.raises(UnavailableError, match=r"cannot reach a registry at http://127.0.0.1:1: Connection refused"):
        RegistryClient(Endpoint("r", "http://127.0.0.1:1")).check()


@pytest.mark.parametrize("trust", [{"ca": CERTIFICATE}, {"insecure": True}])
def test_tls_with_a_ca_or_without_care(tls_registry: FakeRegistry, layout: Layout, trust: dict[str, Any]) -> None:
    tls_registry.manifests["v1"], tls_registry.blobs[BLOB.digest] = MANIFEST, CONTENT
    client = RegistryClient(Endpoint("registry", tls_registry.url, **trust))
    assert client.get_manifest("p/m", "v1").content == MANIFEST
    with layout.writer(expected=BLOB.digest, size=BLOB.size) as writer:
        client.get_blob("p/m", BLOB, writer)
        writer.commit()


def test_an_unknown_certificate_is_refused_at_once(tls_registry: FakeRegistry, layout: Layout) -> None:
    client = RegistryClient(Endpoint("registry", tls_registry.url))
    with pytest.raises(UnavailableError, match="certificate is not trusted"):
        client.get_manifest("p/m", "v1")
    with (
        layout.writer(expected=BLOB.digest, size=BLOB.size) as writer,
        pytest.raises(UnavailableError, match="certificate is not trusted: self-signed certificate"),
    ):
        client.get_blob("p/m", BLOB, writer)
    assert not tls_registry.seen


def test_https_does_not_lead_to_http(tls_registry: FakeRegistry, stranger: FakeRegistry, layout: Layout) -> None:
    path = f"/v2/p/m/blobs/{BLOB.digest}"
    tls_registry.answers[f"GET {path}"] = (307, {"Location": f"{stranger.url}{path}?signature=s3cret"}, b"")
    client = RegistryClient(Endpoint("registry", tls_registry.url, ca=CERTIFICATE))
    with (
        layout.writer(expected=BLOB.digest, size=BLOB.size) as writer,
        pytest.raises(UnavailableError, match="refused to follow") as caught,
    ):
        client.get_blob("p/m", BLOB, writer)
    assert "s3cret" not in str(caught.value)
    assert not stranger.seen
