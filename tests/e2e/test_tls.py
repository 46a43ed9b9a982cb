"""A platform beyond loopback with TLS, as other machines meet it."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from klever.cmd.certificates import fingerprint
from klever.v1alpha1 import serving_service_pb2, serving_service_pb2_grpc
from tests.e2e.platform import Platform, until

OTHER_CA = Path(__file__).parents[1] / "data/tls/localhost.pem"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(Path(tmp_path_factory.mktemp("encrypted")), ("--host", "0.0.0.0", "--tls-self-signed"))
    platform.start()
    yield platform
    platform.clean_up()


@pytest.fixture
def url(encrypted: Platform, own_address: str) -> str:
    """The platform as others reach it."""
    return f"https://{own_address}:{encrypted.port}"


@pytest.fixture
def client(tmp_path: Path) -> Platform:
    """Somebody on another machine, who runs no platform."""
    return Platform(tmp_path / "client")


@pytest.fixture
def ca(encrypted: Platform) -> str:
    return str(encrypted.data / "tls" / "cert.pem")


def test_the_main_job_goes_over_tls(encrypted: Platform, url: str, client: Platform, ca: str) -> None:
    login = client.run("klever", "login", url, "--ca-file", ca, stdin=f"{encrypted.token}\n")
    assert login.stdout == f"logged in to {url}\n"
    client.push("team/adder:v1")

    def signature() -> str:
        return str(client.get("versions", "-n", "team")["items"][0].get("signature", ""))

    assert "float32" in until(signature)  # the task that reads it reaches the registry
    host = url.removeprefix("https://")
    pulled = client.run("ormb", "pull", f"{host}/team/adder:v1")
    assert "Downloaded newer model" in pulled.stdout
    client.run("klever", "create", "project", "more")
    missing = client.run("klever", "predict", "nothing", "--example", check=False)
    assert missing.returncode == 3


def test_ormb_logs_in_by_url(encrypted: Platform, url: str, client: Platform, ca: str) -> None:
    login = ("ormb", "login", url, "-u", "me", "--password-stdin")
    assert client.run(*login, "--ca-file", ca, stdin=encrypted.token).stdout == "Login succeeded\n"
    assert client.run(*login, "--insecure", stdin=encrypted.token).stdout == "Login succeeded\n"
    credentials = json.loads((Path(client.env["ROOTPATH"]) / "config.json").read_text())
    assert list(credentials["auths"]) == [url.removeprefix("https://")]
    client.run("ormb", "logout", url)


def test_another_ca_is_refused_in_a_line(encrypted: Platform, url: str, client: Platform) -> None:
    client.env |= {"KLEVER_TOKEN": encrypted.token, "KLEVER_SERVER": url}
    for flags in ((), ("--ca-file", str(OTHER_CA))):
        for command in (("klever", "get", "servings"), ("ormb", "pull", "team/adder:v1")):
            refused = client.run(*command, *flags, check=False)
            assert refused.returncode == 7
            assert "the certificate is not trusted" in refused.stderr
            assert "--ca-file" in refused.stderr
            assert len(refused.stderr.splitlines()) == 1


def test_any_grpc_and_http_client_with_the_certificate_works(encrypted: Platform, url: str, ca: str) -> None:
    channel = grpc.secure_channel(url.removeprefix("https://"), grpc.ssl_channel_credentials(Path(ca).read_bytes()))
    with channel:
        stub = serving_service_pb2_grpc.ServingServiceStub(channel)
        request = serving_service_pb2.ListServingsRequest(namespace="default")
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListServings(request, timeout=30)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        stub.ListServings(request, timeout=30, metadata=(("authorization", f"Bearer {encrypted.token}"),))
    path = f"{url}/api/v1alpha1/namespaces/default/servings"
    asked = urllib.request.Request(path, headers={"Authorization": f"Bearer {encrypted.token}", "Origin": url})
    with urllib.request.urlopen(asked, timeout=30, context=ssl.create_default_context(cafile=ca)) as response:
        assert response.status == 200


def test_plain_http_is_for_loopback(encrypted: Platform, url: str) -> None:
    bearer = {"Authorization": f"Bearer {encrypted.token}"}
    assert encrypted.http("GET", "/api/v1alpha1/namespaces/default/servings", **bearer)[0] == 200
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(url.replace("https", "http"), timeout=30)


def test_the_certificate_stays_until_the_names_change(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "platform", ("--tls-self-signed",))
    certificate = platform.data / "tls" / "cert.pem"
    try:
        shown = []
        for flags in ((), (), ("--name", "klever.example.com")):
            platform.flags = ("--tls-self-signed", *flags)
            platform.start()
            assert platform.process is not None
            assert platform.process.stdout is not None
            shown.append(platform.process.stdout.readline())
            assert fingerprint(certificate) in shown[-1]
            assert str(certificate) in shown[-1]
            platform.end()
        assert shown[0] == shown[1] != shown[2]
    finally:
        platform.clean_up()


def test_a_certificate_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "platform")
    flags = ("--tls-cert", str(OTHER_CA), "--tls-key", str(tmp_path / "nowhere.pem"))
    _, errors = platform.begin("--port", str(platform.port), *flags).communicate(timeout=60)
    assert "nowhere.pem not found: --tls-cert and --tls-key must name PEM files" in errors
    assert len([line for line in errors.splitlines() if line.startswith("klever: ")]) == 1


def test_a_certificate_that_is_given(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "platform", ("--tls-cert", str(OTHER_CA), "--tls-key", str(OTHER_CA)))
    platform.start()
    try:
        url = f"https://127.0.0.1:{platform.port}"
        assert platform.run("klever", "get", "servings", "--server", url, "--ca-file", str(OTHER_CA)).returncode == 0
    finally:
        platform.clean_up()
