"""What is wrong in a kubeconfig is said by file and field, once, before anything is asked of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from klever.errors import FailedPreconditionError
from klever.kube import KubeConfig
from klever.kube.credentials import CredentialSource
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
    return KubeConfig.load(path)


def plugin(**fields: Any) -> dict[str, Any]:
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", **fields}}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"user": {"exec": {"apiVersion": "v1"}}}, "users[0].user.exec.command: is required"),
    ({"user": {"exec": "aws"}}, "users[0].user.exec: must be a mapping, not text"),
    ({"user": plugin(args="one")}, "users[0].user.exec.args: must be a list, not text"),
    ({"user": plugin(args=[1])}, "users[0].user.exec.args: must be a list of texts"),
    ({"user": plugin(env=[{"value": "x"}])}, "users[0].user.exec.env[0].name: is required"),
    ({"user": plugin(env=["A=b"])}, "users[0].user.exec.env[0]: must be a mapping, not text"),
    ({"user": plugin(interactiveMode="Always")}, "users[0].user.exec.interactiveMode: cannot be Always"),
    ({"user": {"auth-provider": {"name": "gcp"}}}, "users[0].user.auth-provider: is gone from Kubernetes"),
    ({"user": {"token": 12}}, "users[0].user.token: must be text, not a number"),
    ({"user": {"token": "a\nb"}}, "users[0].user.token: must be one line"),
    ({"user": {"tokenFile": "missing"}}, "users[0].user.tokenFile: "),
    ({"user": {"tokenFile": "binary"}}, "holds no token"),
    ({"user": {"tokenFile": "empty"}}, "holds no token"),
    ({"user": {"client-certificate-data": "%"}}, "users[0].user.client-certificate-data: is not base64"),
    ({"user": {"client-certificate-data": "YQ=="}}, "users[0].user.client-key: is required"),
    ({"user": {"client-key": "binary"}}, "users[0].user.client-certificate: is required"),
    ({"user": {"client-certificate": "missing", "client-key": "binary"}}, "users[0].user.client-certificate: "),
    ({"user": {"client-certificate": "empty", "client-key": "binary"}}, "is empty"),
    ({"user": {"as-groups": ["admins"]}}, "users[0].user.as: is required"),
    ({"user": {"as": "jane", "as-groups": "admins"}}, "users[0].user.as-groups: must be a list"),
    ({"user": {"as": "jane", "as-user-extra": {"a": ["b\nc"]}}}, "users[0].user.as: and what belongs to it"),
    ({"user": ["token"]}, "users[0].user: must be a mapping, not a list"),
    ({"users": "one"}, "users: must be a list, not text"),
    ({"users": None}, "user 'one' does not exist (it has none)"),
    ({"contexts": ["one"]}, "contexts[0]: must be a mapping, not text"),
    ({"contexts": [None]}, "context 'one' does not exist"),
    ({"context": None}, "contexts[0].context.cluster: is required"),
    ({"context": "one"}, "contexts[0].context: must be a mapping"),
    ({"clusters": [{"name": 1}]}, "clusters[0].name: must be text"),
    ({"cluster": None}, "clusters[0].cluster.server: is required"),
    *(
        ({"cluster": {"server": server}}, f"clusters[0].cluster.server: '{server}' is no address")
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
    (
        {"cluster": {"server": "https://a", "proxy-url": "socks5://b:1"}},
        "clusters[0].cluster.proxy-url: 'socks5://b:1'",
    ),
    (
        {"cluster": {"server": "https://a", "certificate-authority": "binary", "insecure-skip-tls-verify": True}},
        "clusters[0].cluster.insecure-skip-tls-verify: cannot be true",
    ),
    ({"cluster": {"server": "https://a", "insecure-skip-tls-verify": "yes"}}, "must be true or false, not text"),
    ({"current-context": ["one"]}, "current-context: must be text, not a list"),
]


@pytest.mark.parametrize(("changed", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_is_wrong_is_named(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\x00\x01")
    (tmp_path / "empty").touch()
    with pytest.raises(FailedPreconditionError) as caught:
        load(tmp_path, **changed)
    message = str(caught.value)
    assert message.startswith(f"kubeconfig {tmp_path / 'config'}: ")
    assert said in message
    assert caught.value.reason == "KUBECONFIG"


@pytest.mark.parametrize("content", [b"\xff\x00", b"a: 2020-99-99", b"&a [*a", b"\x00"])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config").write_bytes(content)
    with pytest.raises(FailedPreconditionError, match=f"kubeconfig {tmp_path / 'config'} is no YAML"):
        KubeConfig.load(tmp_path / "config")


@pytest.mark.parametrize(
    ("cluster", "server"),
    [
        ({"server": "localhost:8080"}, "http://localhost:8080"),
        ({"server": "a.example"}, "http://a.example"),
        ({"server": "10.0.0.1:6443", "insecure-skip-tls-verify": True}, "https://10.0.0.1:6443"),
        ({"server": "https://[::1]:6443/"}, "https://[::1]:6443"),
        ({"server": "https://a/k8s/clusters/b"}, "https://a/k8s/clusters/b"),
    ],
)
def test_addresses_as_kubectl_takes_them(tmp_path: Path, cluster: dict[str, Any], server: str) -> None:
    assert load(tmp_path, cluster=cluster).server == server


async def test_what_kubectl_takes_is_taken(tmp_path: Path) -> None:
    """Nulls, variables without a value, and values in several lines."""
    user = plugin(args=None, env=[{"name": "A"}, {"name": "B", "value": "b\nc"}], installHint=None)
    config = load(tmp_path, user={**user, "token": None}, context={"cluster": "one", "user": "one", "namespace": None})
    assert config.plugin is not None
    assert config.plugin.env == {"A": "", "B": "b\nc"}
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


async def test_a_file_that_is_gone_later(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    config = load(tmp_path, user={"tokenFile": "token"})
    (tmp_path / "token").unlink()
    with pytest.raises(FailedPreconditionError, match=rf"tokenFile: {tmp_path}/token cannot be read"):
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
        config = KubeConfig.load(environ=environ, account=account)
        assert (config.server, config.namespace, config.authority) == ("https://[fd00::1]:6443", "space", b"CA")
        source = CredentialSource(config)
        first = await source.get()
        assert first.authorization == "Bearer of the pod"
        (account / "token").write_text("renewed")
        assert source.refused(first)
        assert (await source.get()).authorization == "Bearer renewed"

    def test_a_kubeconfig_goes_before_it(self, environ: dict[str, str], account: Path, tmp_path: Path) -> None:
        load(tmp_path)
        assert KubeConfig.load(tmp_path / "config", environ=environ, account=account).server == "https://a:1"

    @pytest.mark.parametrize("missing", ["ca.crt", "KUBERNETES_SERVICE_HOST"])
    def test_what_it_lacks_is_said(self, environ: dict[str, str], account: Path, missing: str) -> None:
        (account / missing).unlink(missing_ok=True)
        environ.pop(missing, None)
        with pytest.raises(FailedPreconditionError, match=f"service account .*{missing}"):
            KubeConfig.load(environ=environ, account=account)
