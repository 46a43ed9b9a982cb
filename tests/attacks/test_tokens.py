"""Finding 6: the token of one server never reaches another, and never travels in plain text beyond loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from klever.client.config import Config, Server, update_config
from tests.e2e.platform import Platform

BIN = Path(sys.executable).parent
DATA = Path(__file__).parents[1] / "data"
TOKEN = "the-token-of-the-first-server"


@dataclass
class Recorder:
    """An HTTP server that keeps what it receives; `answers` are by method and path, everything else is 404."""

    url: str = ""
    seen: list[str] = field(default_factory=list)
    """Request lines and headers."""
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


def recording() -> Iterator[Recorder]:
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            recorder.seen.append(f"{self.requestline}\n{self.headers}")
            status, headers = recorder.answers.get(f"{self.command} {self.path.partition('?')[0]}", (404, {}))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    recorder.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield recorder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def first() -> Iterator[Recorder]:
    """The server whose token is kept."""
    yield from recording()


@pytest.fixture
def evil() -> Iterator[Recorder]:
    yield from recording()


@dataclass
class EvilApi:
    address: str
    calls: list[str] = field(default_factory=list)
    """Metadata of each call."""


@pytest.fixture
def evil_api() -> Iterator[EvilApi]:
    """A gRPC server that keeps the metadata of calls."""
    server = grpc.server(ThreadPoolExecutor(2))
    api = EvilApi(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")

    class Everything(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs alone
        def service(self, details: Any) -> None:
            api.calls.append(str(details.invocation_metadata))

    server.add_generic_rpc_handlers((Everything(),))
    server.start()
    yield api
    server.stop(None).wait()


@dataclass
class User:
    """Somebody who has logged in to the first server, with a model in the cache."""

    home: Path

    @property
    def config(self) -> Path:
        return self.home / ".config/klever/config.yaml"

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / command[0], *command[1:]],
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def user(tmp_path: Path, first: Recorder) -> User:
    user = User(tmp_path)
    update_config(user.config, lambda config: config.with_current(first.url, Server(TOKEN)))
    shutil.copytree(DATA / "onnx", tmp_path / "model")
    return user


def save(user: User, reference: str) -> None:
    assert user.run("ormb", "save", str(user.home / "model"), reference).returncode == 0


def test_klever_tells_another_server_nothing(user: User, first: Recorder, evil_api: EvilApi) -> None:
    for server in (evil_api.address, f"http://{evil_api.address}", evil_api.address.replace("127.0.0.1", "localhost")):
        assert user.run("klever", "get", "servings", "--server", server).returncode == 1
        assert user.run("klever", "delete", "serving", "x", "--no-wait", KLEVER_SERVER=server).returncode == 1
    assert len(evil_api.calls) == 6
    assert "authorization" not in str(evil_api.calls)
    assert TOKEN not in str(evil_api.calls)


def test_a_token_that_is_given_goes_to_the_server_that_is_given(user: User, evil_api: EvilApi) -> None:
    user.run("klever", "get", "servings", "--server", evil_api.address, KLEVER_TOKEN="mine")
    user.run("klever", "get", "servings", "--server", evil_api.address, "--token", "mine")
    assert [call.count("Bearer mine") for call in evil_api.calls] == [1, 1]


def test_ormb_tells_another_server_nothing(user: User, evil: Recorder) -> None:
    reference = f"{evil.host}/team/adder:v1"
    save(user, reference)
    save(user, "team/adder:v1")
    for arguments, environ in (
        (("pull", reference), {}),
        (("pull", reference), {"KLEVER_TOKEN": TOKEN}),  # it is for the platform
        (("push", reference), {}),
        (("pull", f"localhost:{evil.host.rpartition(':')[2]}/team/adder:v1"), {}),
        (("pull", "team/adder:v1"), {"KLEVER_SERVER": evil.host}),
        (("push", "team/adder:v1"), {"KLEVER_SERVER": evil.url}),
        (("pull-and-export", reference, str(user.home / "out")), {}),
    ):
        before = len(evil.seen)
        assert user.run("ormb", *arguments, **environ).returncode != 0
        assert len(evil.seen) > before
    assert "authorization" not in str(evil.seen).lower()


def test_a_redirect_does_not_take_the_token_along(user: User, first: Recorder, evil: Recorder) -> None:
    path = "/v2/team/adder/manifests/v1"
    elsewhere = {"Location": f"{evil.url.replace('127.0.0.1', 'localhost')}{path}"}
    first.answers = {f"GET {path}": (307, elsewhere), f"HEAD {path}": (307, elsewhere)}
    save(user, "team/adder:v1")
    user.run("ormb", "pull", "team/adder:v1")
    assert TOKEN in str(first.seen)
    assert len(evil.seen) == 1
    assert "authorization" not in str(evil.seen).lower()


def test_an_upload_that_is_sent_elsewhere_is_not_authorized(user: User, first: Recorder, evil: Recorder) -> None:
    first.answers["POST /v2/team/adder/blobs/uploads/"] = (202, {"Location": f"{evil.url}/upload"})
    save(user, "team/adder:v1")
    user.run("ormb", "push", "team/adder:v1")
    assert TOKEN in str(first.seen)
    assert "authorization" not in str(evil.seen).lower()


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_foreign_realm_is_not_told_the_token(user: User, first: Recorder, evil: Recorder, scheme: str) -> None:
    challenge = f'{scheme} realm="{evil.url}/token",service="s",scope="repository:team/adder:pull"'
    first.answers["GET /v2/team/adder/manifests/v1"] = (401, {"WWW-Authenticate": challenge})
    assert user.run("ormb", "pull", "team/adder:v1").returncode == 5
    assert TOKEN in str(first.seen)
    assert "authorization" not in str(evil.seen).lower()
    assert TOKEN not in str(evil.seen)


@pytest.mark.parametrize(
    ("command", "environ"),
    [
        (("klever", "get", "servings"), {"KLEVER_TOKEN": TOKEN}),
        (("klever", "predict", "x", "--example"), {"KLEVER_TOKEN": TOKEN}),
        (("klever", "get", "servings", "--token", TOKEN), {}),
        (("ormb", "pull", "team/adder:v1"), {"KLEVER_TOKEN": TOKEN}),
    ],
)
def test_beyond_loopback_a_token_is_refused_before_anything_is_sent(
    user: User, own_address: str, command: tuple[str, ...], environ: dict[str, str]
) -> None:
    with socket.create_server((own_address, 0)) as listener:
        listener.setblocking(False)
        server = f"http://{own_address}:{listener.getsockname()[1]}"
        ended = user.run(*command, KLEVER_SERVER=server, **environ)
        assert "plain HTTP would expose its credentials" in ended.stderr
        assert ended.returncode == 4
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_login_in_plain_text_is_refused_before_anything_is_sent(user: User, own_address: str) -> None:
    with socket.create_server((own_address, 0)) as listener:
        listener.setblocking(False)
        server = f"http://{own_address}:{listener.getsockname()[1]}"
        assert user.run("ormb", "login", server, "-u", "me", "-p", TOKEN).returncode == 4
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_second_platform_takes_no_token_away(platform: Platform, tmp_path: Path) -> None:
    platform.start()
    second = Platform(tmp_path / "second")
    second.env["XDG_CONFIG_HOME"] = platform.env["XDG_CONFIG_HOME"]
    second.start()
    try:
        path = Path(platform.env["XDG_CONFIG_HOME"]) / "klever" / "config.yaml"
        assert path.stat().st_mode & 0o777 == 0o600
        kept = yaml.safe_load(path.read_text())
        assert kept["server"] == second.url
        assert kept["servers"] == {
            platform.url: {"token": platform.token}, second.url: {"token": second.token},
        }  # fmt: skip
        platform.run("klever", "create", "project", "a")  # the second one's, which is current
        platform.run("klever", "create", "project", "b", "--server", platform.url)
        assert "b" not in [project["name"] for project in second.get("projects")["items"]]
    finally:
        second.clean_up()


def test_another_platform_at_the_same_address_has_a_token_of_its_own(platform: Platform) -> None:
    platform.start()
    first = platform.token
    platform.end()
    platform.data = platform.root / "other"
    platform.env["KLEVER_DATA"] = str(platform.data)
    platform.start()
    assert platform.token != first
    platform.run("klever", "create", "project", "a")
    config = Config.read(Path(platform.env["XDG_CONFIG_HOME"]) / "klever" / "config.yaml")
    assert config.servers == {platform.url: Server(platform.token)}
