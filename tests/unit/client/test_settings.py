"""Which server, as whom, and whether its token may travel there."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.client.settings import Settings
from klever.errors import FailedPreconditionError, InvalidError

CERTIFICATE = Path(__file__).parents[2] / "data/tls/localhost.pem"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / ".config/klever/config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "server: file:1\nnamespace: file\nservers:\n"
        f"  file:1: {{token: one, ca: {CERTIFICATE}}}\n"
        "  http://10.0.0.5:8080: {token: two, plaintext: true}\n"
        "  http://10.0.0.6:8080: {token: three}\n"
    )
    return {"HOME": str(tmp_path)}


def test_flags_go_before_the_environment_and_that_before_the_file(environ: dict[str, str]) -> None:
    assert Settings.load({"HOME": "/nonexistent"}) == Settings(
        "http://127.0.0.1:8080", "http://127.0.0.1:8080", "default", ""
    )
    assert Settings.load(environ) == Settings("file:1", "https://file:1", "file", "one", CERTIFICATE)
    environ |= {"KLEVER_NAMESPACE": "env", "KLEVER_TOKEN": "other"}
    settings = Settings.load(environ, server="https://flag", namespace=None, token="mine")
    assert settings == Settings("https://flag", "https://flag:443", "env", "mine")
    assert Settings.load(environ).token == "other"


def test_a_token_is_for_its_own_server(environ: dict[str, str]) -> None:
    for server in ("127.0.0.1:8080", "http://file:1", "file:2", "https://file", "evil.example:1"):
        assert Settings.load(environ, server=server).token == "", server
        assert Settings.load(environ | {"KLEVER_SERVER": server}).token == "", server
    for server in ("file:1", "FILE:1", "https://file:1/"):
        assert Settings.load(environ, server=server).token == "one", server


@pytest.mark.parametrize(
    ("server", "flags", "allowed"),
    [
        ("127.0.0.1:1", {}, True),
        ("http://[::1]:1", {}, True),
        ("klever.example.com", {}, True),  # https
        ("http://klever.example.com", {}, False),
        ("http://127.0.0.1.example.com", {}, False),
        ("http://klever.example.com", {"plaintext": True}, True),
        ("klever.example.com", {"plaintext": True}, True),
        ("http://10.0.0.5:8080", {}, True),  # as the file says
        ("http://10.0.0.6:8080", {}, False),
    ],
)
def test_beyond_loopback_a_token_travels_over_tls_only(
    environ: dict[str, str], server: str, flags: dict[str, bool], allowed: bool
) -> None:
    settings = Settings.load(environ, server=server, token="t", plaintext=flags.get("plaintext", False))
    if allowed:
        settings.check()
        return
    with pytest.raises(FailedPreconditionError) as caught:
        settings.check()
    assert caught.value.reason == "PLAINTEXT"
    Settings.load({}, server=server).check()  # without a token nothing is at stake
    Settings.load({"KLEVER_PLAINTEXT": "true"}, server=server, token="t").check()


def test_a_ca_is_checked_before_it_is_used(environ: dict[str, str], tmp_path: Path) -> None:
    assert Settings.load(environ | {"KLEVER_CA_FILE": str(CERTIFICATE)}, server="127.0.0.1:1") == Settings(
        "127.0.0.1:1", "https://127.0.0.1:1", "file", "", CERTIFICATE
    )
    (tmp_path / "ca.pem").write_text("nothing")
    for wrong in ("nowhere.pem", str(tmp_path / "ca.pem")):
        with pytest.raises(InvalidError, match=r"\.pem must be a PEM file of certificates"):
            Settings.load(environ, ca_file=wrong)


def test_a_token_is_printable(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidError, match="invalid characters in the token"):
        Settings.load(environ, token="a\nb")
