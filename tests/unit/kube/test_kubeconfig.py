"""An error in a kubeconfig names the file and the field, before the client sends a request."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml

from klever.errors import FailedPreconditionError
from klever.kube import KubeConfig
from klever.kube.credentials import CredentialSource
from klever.kube.kubeconfig import load_config
from tests.unit.kube.documents import document


def load(tmp_path: Path, **changed: Any) -> KubeConfig:
    """Load a good kubeconfig of which the cluster, user or context, or a whole section, is changed."""
    config = document({"server": "https://a:1"}, {"token": "secret"})
    for name, value in changed.items():
        if name in config:
            config[name] = value
        else:
            config[f"{name}s"][0][name] = value
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    return load_config(path)


def plugin(**fields: Any) -> dict[str, Any]:
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", **fields}}


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("command", {"user": {"exec": {"apiVersion": "v1"}}}),
    ("wrong type", {"user": {"exec": "aws"}}),
    ("auth-provider", {"user": {"auth-provider": {"name": "gcp"}}}),
    ("one line", {"user": {"token": "a-secret\nb"}}),
    ("missing", {"user": {"tokenFile": "missing"}}),
    ("", {"user": {"tokenFile": "binary"}}),
    ("one line", {"user": {"tokenFile": "empty"}}),
    ("", {"user": {"token": "a-secret", "client-certificate-data": "%"}}),
    ("missing", {"user": {"client-certificate": "missing", "client-key": "empty"}}),
    ("client-certificate", {"user": {"client-certificate": "empty", "client-key": "empty"}}),
    ("as is required", {"user": {"as-groups": ["admins"]}}),
    ("as-groups", {"user": {"as": "jane", "as-groups": "admins"}}),
    ("as", {"user": {"as": "jane", "as-user-extra": {"a": ["b\nc"]}}}),
    ("", {"user": ["a-secret"]}),
    ("", {"users": "one"}),
    ("one", {"users": None}),
    ("", {"users": [{"user": {"token": "a-secret"}}, {"name": "one"}]}),
    ("", {"users": [{"name": "one", "user": {"token": "a-secret"}}, {"user": {"token": "a-secret"}}]}),
    ("", {"contexts": ["one"]}),
    ("", {"contexts": [None]}),
    ("cluster", {"context": None}),
    ("", {"context": "one"}),
    ("one", {"clusters": [{"name": 1}]}),
    ("server", {"cluster": None}),
    *(
        ("", {"cluster": {"server": server}})
        for server in (
            "https://[::1",
            ":abc",
            "https://:1",
            "ftp://a",
            "a/b",
            "https://a:b",
            "https://a b",
            "https://a?b",
        )
    ),
    ("proxy-url", {"cluster": {"server": "https://a", "proxy-url": "socks5://b:1"}}),
    (
        "insecure-skip-tls-verify",
        {"cluster": {"server": "https://a", "certificate-authority-data": "YQ==", "insecure-skip-tls-verify": True}},
    ),
    ("insecure-skip-tls-verify", {"cluster": {"server": "https://a", "insecure-skip-tls-verify": "false"}}),
    ("", {"current-context": ["one"]}),
]
"""What the message must name, and a part of a kubeconfig that is wrong."""


@pytest.mark.parametrize(("said", "changed"), WRONG, ids=[str(changed) for _, changed in WRONG])
def test_an_invalid_kubeconfig_is_refused_without_its_secrets(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\x00\x01")
    (tmp_path / "empty").touch()
    with pytest.raises(FailedPreconditionError) as caught:
        load(tmp_path, **changed)
    message = str(caught.value)
    assert message.startswith(f"kubeconfig {tmp_path / 'config'}")
    assert said in message
    assert "a-secret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.reason == "KUBECONFIG"


@pytest.mark.parametrize("content", [b"\xff\x00", b"a: 2020-99-99", b"&a [*a", b"\x00"])
def test_a_file_that_is_no_yaml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config").write_bytes(content)
    with pytest.raises(FailedPreconditionError, match=f"kubeconfig {tmp_path / 'config'} is not a valid kubeconfig"):
        load_config(tmp_path / "config")


@pytest.mark.parametrize("server", ["https://[::1]:6443", "https://a/k8s/clusters/b", "http://localhost:8080"])
def test_addresses_as_kubectl_takes_them(tmp_path: Path, server: str) -> None:
    assert load(tmp_path, cluster={"server": f"{server}/"}).server == server


def test_nulls_are_as_good_as_absent(tmp_path: Path) -> None:
    user = plugin(args=None, env=None, installHint=None)
    config = load(tmp_path, user={**user, "token": None}, context={"cluster": "one", "user": "one", "namespace": None})
    assert config.namespace == "default"


async def test_a_token_file_goes_before_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of the file\n")
    config = load(tmp_path, user={"token": "of the kubeconfig", "tokenFile": "token"})
    assert (await CredentialSource(config).get()).authorization == "Bearer of the file"


async def test_files_are_read_again_in_time(tmp_path: Path) -> None:
    for name in ("token", "cert", "key"):
        (tmp_path / name).write_text("old")
    user = {"tokenFile": "token", "client-certificate": "cert", "client-key": "key"}
    now = 1000.0
    source = CredentialSource(load(tmp_path, user=user), clock=lambda: now)
    old = await source.get()
    assert (old.authorization, old.certificate, old.key) == ("Bearer old", b"old", b"old")
    for name in ("token", "cert", "key"):
        (tmp_path / name).write_text("new")
    assert await source.get() is old
    now += 60.0
    new = await source.get()
    assert (new.authorization, new.certificate, new.key) == ("Bearer new", b"new", b"new")


async def test_relative_files_are_those_beside_the_file_that_names_them(tmp_path: Path) -> None:
    """Of two kubeconfig files, one has the context and the cluster, the other the user."""
    for name, part in (("a", ("current-context", "contexts", "clusters")), ("b", ("users",))):
        (tmp_path / name).mkdir()
        whole = document({"server": "https://a:1"}, {"tokenFile": "token"})
        (tmp_path / name / "config").write_text(yaml.safe_dump({field: whole[field] for field in part}))
    (tmp_path / "b" / "token").write_text("beside b")
    files = f"{tmp_path}/a/config:{tmp_path}/b/config"
    credentials = await CredentialSource(load_config(environ={"KUBECONFIG": files})).get()
    assert credentials.authorization == "Bearer beside b"


async def test_a_file_that_is_gone_later(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    config = load(tmp_path, user={"tokenFile": "token"})
    (tmp_path / "token").unlink()
    with pytest.raises(FailedPreconditionError, match=f"{tmp_path}/token"):
        await CredentialSource(config).get()


def test_for_whom_to_act(tmp_path: Path) -> None:
    user = {"as": "jane", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"example.org/Té%": ["x", "y"]}}
    assert load(tmp_path, user=user).impersonation == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-example.org%2FT%C3%A9%25", "x"),
        ("Impersonate-Extra-example.org%2FT%C3%A9%25", "y"),
    )


class TestInAPod:
    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        return {
            "KUBECONFIG": str(tmp_path / "none"),
            "KUBERNETES_SERVICE_HOST": "fd00::1",
            "KUBERNETES_SERVICE_PORT": "6443",
        }

    @pytest.fixture
    def account(self, tmp_path: Path) -> Path:
        for name, content in {"token": "of the pod\n", "ca.crt": "CA", "namespace": "space\n"}.items():
            (tmp_path / name).write_text(content)
        return tmp_path

    async def test_its_service_account_is_used(self, environ: dict[str, str], account: Path) -> None:
        config = load_config(environ=environ, account=account)
        assert (config.server, config.namespace, config.authority) == ("https://[fd00::1]:6443", "space", b"CA")
        source = CredentialSource(config)
        first = await source.get()
        assert first.authorization.partition(" ")[2] == "of the pod"
        (account / "token").write_text("renewed")
        assert source.refused(first)
        assert (await source.get()).authorization.partition(" ")[2] == "renewed"

    def test_a_kubeconfig_goes_before_it(self, environ: dict[str, str], account: Path, tmp_path: Path) -> None:
        load(tmp_path)
        assert load_config(tmp_path / "config", environ=environ, account=account).server == "https://a:1"

    @pytest.mark.parametrize("missing", ["ca.crt", "KUBERNETES_SERVICE_HOST"])
    def test_a_missing_entry_is_named(self, environ: dict[str, str], account: Path, missing: str) -> None:
        (account / missing).unlink(missing_ok=True)
        environ.pop(missing, None)
        with pytest.raises(FailedPreconditionError, match="service account"):
            load_config(environ=environ, account=account)
