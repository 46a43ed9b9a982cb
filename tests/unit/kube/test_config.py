"""kubeconfig files as kubectl takes them."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from klever.errors import FailedPreconditionError, UnauthenticatedError
from klever.kube.credentials import CredentialSource
from klever.kube.kubeconfig import load_config
from tests.unit.kube.documents import document


def write(path: Path, user: dict[str, Any] | None = None, *, name: str = "one", server: str = "https://a:1") -> Path:
    config = document({"server": server}, user or {"token": "secret"}, name=name, namespace="space")
    path.write_text(yaml.safe_dump(config))
    return path


async def test_the_current_context(tmp_path: Path) -> None:
    config = load_config(write(tmp_path / "config"))
    assert (config.server, config.namespace, config.context) == ("https://a:1", "space", "one")
    credentials = await CredentialSource(config).get()
    assert credentials.authorization == "Bearer secret"
    assert "secret" not in f"{config!r}{credentials!r}"


def test_several_files_are_one(tmp_path: Path) -> None:
    files = [write(tmp_path / "a"), write(tmp_path / "b", name="two", server="https://b:2"), tmp_path / "missing"]
    environ = {"KUBECONFIG": os.pathsep.join(map(str, files))}
    assert load_config(environ=environ).server == "https://a:1"
    assert load_config(context="two", environ=environ).server == "https://b:2"
    with pytest.raises(FailedPreconditionError, match=r"'three' not found: .* one, two"):
        load_config(context="three", environ=environ)


def test_the_file_of_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config")
    assert load_config(environ={"HOME": str(tmp_path)}).server == "https://a:1"


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "http://up:1"}, "http://up:1"),
        ({"HTTPS_PROXY": "http://up:1", "https_proxy": "http://low:1"}, "http://low:1"),
        ({"HTTPS_PROXY": "http://up:1", "NO_PROXY": "b,a"}, ""),
        ({"HTTP_PROXY": "http://up:1"}, ""),
        ({}, ""),
    ],
)
def test_the_environments_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://of-the-process:1")  # which is nobody's business here
    assert load_config(write(tmp_path / "config"), environ=environ).proxy == proxy


async def test_data_and_files(tmp_path: Path) -> None:
    (tmp_path / "client.key").write_text("KEY")
    user = {"client-certificate-data": base64.b64encode(b"CERT").decode(), "client-key": "client.key"}
    credentials = await CredentialSource(load_config(write(tmp_path / "config", user))).get()
    assert (credentials.certificate, credentials.key) == (b"CERT", b"KEY")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not a valid kubeconfig"),
        ("[]", "is not a valid kubeconfig"),
        ("", "is empty"),
        ("{}", "give --context"),
        ("{current-context: x}", "'x' not found"),
    ],
)
def test_an_invalid_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(FailedPreconditionError, match=said):
        load_config(path)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(FailedPreconditionError, match="give --kubeconfig or set KUBECONFIG"):
        load_config(environ={"KUBECONFIG": str(tmp_path / "none")})


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    source = CredentialSource(load_config(write(tmp_path / "config", {"tokenFile": "token"})))
    first = await source.get()
    assert first.authorization == "Bearer first"
    (tmp_path / "token").write_text("second\n")
    assert source.refused(first)
    assert (await source.get()).authorization == "Bearer second"


def plugin(tmp_path: Path, script: str, **fields: Any) -> CredentialSource:
    path = tmp_path / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./plugin",
            "args": ["one"],
            "env": [{"name": "WHO", "value": "jane"}],
            "installHint": "install the plugin",
            "interactiveMode": "Never",
            **fields,
        }
    }
    return CredentialSource(load_config(write(tmp_path / "config", user)))


def credential(**status: str) -> str:
    return json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})


async def test_an_exec_plugin_is_run_again_when_its_token_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "here")
    monkeypatch.setenv("WHO", "nobody")
    printed = credential(token="%s", expirationTimestamp="2020-01-01T00:00:00Z")
    script = f"echo x >> {tmp_path}/runs; printf '{printed}' \"$WHO-$WHERE-$1-$(wc -l < {tmp_path}/runs)\""
    source = plugin(tmp_path, script)
    assert (await source.get()).authorization == "Bearer jane-here-one-1"
    assert (await source.get()).authorization == "Bearer jane-here-one-2"


async def test_a_plugin_is_told_the_cluster_if_it_wants_that(tmp_path: Path) -> None:
    script = f"printf '%s' \"$KUBERNETES_EXEC_INFO\" > {tmp_path}/info; echo '{credential(token='t')}'"
    await plugin(tmp_path, script, provideClusterInfo=True).get()
    assert json.loads((tmp_path / "info").read_text())["spec"]["cluster"]["server"] == "https://a:1"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no luck >&2; exit 3", "no luck"),
        ("echo hello", "failed"),
        (f"echo '{credential()}'", "must print a token or a certificate"),
        (f"echo '{credential(clientCertificateData='x')}'", "must print a token or a certificate"),
        (f"echo '{credential(token='a-secret' + chr(92) + 'u0007')}'", "one line"),
    ],
)
async def test_a_plugin_that_fails_is_said(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(UnauthenticatedError, match=said) as failed:
        await plugin(tmp_path, script).get()
    assert "a-secret" not in str(failed.value)


async def test_a_plugin_that_is_missing(tmp_path: Path) -> None:
    source = plugin(tmp_path, "")
    (tmp_path / "plugin").unlink()
    with pytest.raises(UnauthenticatedError, match="install the plugin"):
        await source.get()


async def test_a_plugin_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klever.kube.plugin._SECONDS", 0.2)
    source = plugin(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 77")
    with pytest.raises(UnauthenticatedError):
        await source.get()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
