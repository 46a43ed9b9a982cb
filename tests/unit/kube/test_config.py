"""kubeconfig files as kubectl takes them."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from klever.errors import FailedPreconditionError, UnauthenticatedError
from klever.kube import KubeConfig
from klever.kube.credentials import CredentialSource
from tests.unit.kube.documents import document


def write(path: Path, user: dict[str, Any] | None = None, *, name: str = "one", server: str = "https://a:1") -> Path:
    config = document({"server": server}, user or {"token": "secret"}, name=name, namespace="space")
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_current_context(tmp_path: Path) -> None:
    config = KubeConfig.load(write(tmp_path / "config"))
    assert (config.server, config.namespace, config.token, config.context) == ("https://a:1", "space", "secret", "one")
    assert "secret" not in repr(config)


def test_several_files_are_one(tmp_path: Path) -> None:
    files = [write(tmp_path / "a"), write(tmp_path / "b", name="two", server="https://b:2"), tmp_path / "missing"]
    environ = {"KUBECONFIG": os.pathsep.join(map(str, files))}
    assert KubeConfig.load(environ=environ).server == "https://a:1"
    assert KubeConfig.load(context="two", environ=environ).server == "https://b:2"
    with pytest.raises(FailedPreconditionError, match=r"'three' does not exist \(one, two\)"):
        KubeConfig.load(context="three", environ=environ)


def test_the_file_of_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config")
    assert KubeConfig.load(environ={"HOME": str(tmp_path)}).server == "https://a:1"


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
    assert KubeConfig.load(write(tmp_path / "config"), environ=environ).proxy == proxy


async def test_data_and_files(tmp_path: Path) -> None:
    (tmp_path / "client.key").write_text("KEY")
    user = {"client-certificate-data": base64.b64encode(b"CERT").decode(), "client-key": "client.key"}
    credentials = await CredentialSource(KubeConfig.load(write(tmp_path / "config", user))).get()
    assert (credentials.certificate, credentials.key) == (b"CERT", b"KEY")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no YAML"),
        ("[]", "holds no configuration"),
        ("{}", "has no current-context"),
        ("{current-context: x}", "context 'x' does not exist"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(FailedPreconditionError, match=said):
        KubeConfig.load(path)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(FailedPreconditionError, match="give --kubeconfig or set KUBECONFIG"):
        KubeConfig.load(environ={"KUBECONFIG": str(tmp_path / "none")})


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    source = CredentialSource(KubeConfig.load(write(tmp_path / "config", {"tokenFile": "token"})))
    first = await source.get()
    assert first.authorization == "Bearer first"
    (tmp_path / "token").write_text("second\n")
    assert source.refused(first)
    assert (await source.get()).authorization == "Bearer second"


def plugin(tmp_path: Path, script: str) -> CredentialSource:
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
        }
    }
    environ = {"WHERE": "here", "WHO": "nobody"}
    return CredentialSource(KubeConfig.load(write(tmp_path / "config", user), environ=environ))


async def test_an_exec_plugin_is_run_again_when_its_token_ends(tmp_path: Path) -> None:
    status = '{"status": {"token": "%s", "expirationTimestamp": "2020-01-01T00:00:00Z"}}'
    script = f"echo x >> {tmp_path}/runs; printf '{status}' \"$WHO-$WHERE-$1-$(wc -l < {tmp_path}/runs)\""
    source = plugin(tmp_path, script)
    assert (await source.get()).authorization == "Bearer jane-here-one-1"
    assert (await source.get()).authorization == "Bearer jane-here-one-2"


@pytest.mark.parametrize(
    ("script", "said"), [("echo no luck >&2; exit 3", r"failed \(3\): no luck"), ("echo hello", "no ExecCredential")]
)
async def test_a_plugin_that_fails_is_said(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(UnauthenticatedError, match=said):
        await plugin(tmp_path, script).get()


async def test_a_plugin_that_is_missing(tmp_path: Path) -> None:
    source = plugin(tmp_path, "")
    (tmp_path / "plugin").unlink()
    with pytest.raises(UnauthenticatedError, match="install the plugin"):
        await source.get()


async def test_a_plugin_that_nobody_waits_for_any_more_is_ended(tmp_path: Path) -> None:
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    source = plugin(tmp_path, f"echo $$ > {fifo}; exec sleep 77")
    asked = asyncio.create_task(source.get())
    pid = int(await asyncio.to_thread(fifo.read_text))
    asked.cancel()
    await asyncio.wait([asked])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
