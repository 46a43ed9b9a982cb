"""What `klever up` and `klever controllers` find out about an API server before they begin, and how they say it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.kubernetes.cluster import Cluster
from klever.cmd.preflight import CONTROLLERS, PODS, SERVER, Right
from tests.conftest import install_crds
from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until
from tests.e2e.rights import bound, granted

CRDS = Path(__file__).parents[2] / "config" / "crd"
LEASES = "create, get, patch leases.coordination.k8s.io in namespace klever-system"

Start = Callable[[Path], str]
"""Start with a kubeconfig; returns what is said at the end."""


COMMANDS = (("up", "--store", "kubernetes"), ("controllers", "--registry", "http://127.0.0.1:1"))


@pytest.fixture(params=COMMANDS, ids=("up", "controllers"))
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    return partial(started, tmp_path, request.param)


def started(root: Path, command: tuple[str, ...], kubeconfig: Path) -> str:
    platform = Platform(root)
    flags = ("--kubeconfig", str(kubeconfig), "--port", str(platform.port))
    done = platform.run("klever", *command, *flags, check=False)
    assert done.returncode not in {0, 1}, done.stdout + done.stderr
    assert "is up" not in done.stdout
    assert len(done.stderr.splitlines()) <= 2, done.stderr
    return done.stderr


@pytest.fixture
def broken(own_cluster: Cluster) -> Iterator[Cluster]:
    """A cluster without our kinds; they are there again afterwards."""
    Objects(own_cluster).fresh()
    own_cluster.kubectl("delete", "-f", f"{CRDS}/")
    yield own_cluster
    own_cluster.kubectl("delete", "-f", f"{CRDS}/", "--ignore-not-found")
    install_crds(own_cluster)


def rewritten(kubeconfig: Path, into: Path, change: Callable[[Any], None]) -> Path:
    config = json.loads(kubeconfig.read_text())
    change(config)
    into.write_text(json.dumps(config))
    return into


def test_a_kubeconfig_that_is_missing(start: Start, tmp_path: Path) -> None:
    assert "cannot read" in start(tmp_path / "missing")


def test_a_server_that_is_not_there(tmp_path: Path, own_cluster: Cluster) -> None:
    def nowhere(config: Any) -> None:
        config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"

    kubeconfig = rewritten(own_cluster.kubeconfig, tmp_path / "kubeconfig", nowhere)
    assert "does not answer" in started(tmp_path, COMMANDS[0], kubeconfig)


def test_credentials_that_have_ended(start: Start, tmp_path: Path, own_cluster: Cluster) -> None:
    def token(config: Any) -> None:
        config["users"][0]["user"] = {"token": "it.was.good"}

    said = "rejected the credentials of the kubeconfig"
    assert said in start(rewritten(own_cluster.kubeconfig, tmp_path / "kubeconfig", token))
    assert said in start(own_cluster.user("yesterdays", days=-1))


def test_every_missing_right_is_said_at_once(start: Start, own_cluster: Cluster) -> None:
    said = start(own_cluster.user("nobody"))
    verbs = ("create, get, list, watch, patch, delete", "create, list, watch, patch, delete")
    assert any(
        f"the user 'nobody' may not {these} modeljobs.kleveross.io in all namespaces;" in said for these in verbs
    )
    for right in ("patch servings/status.kleveross.io", "create, patch events in all namespaces", LEASES):
        assert right in said
    assert "apply config/rbac/" in said


def test_rights_on_leases_are_needed_in_their_namespace(start: Start, own_cluster: Cluster) -> None:
    said = start(bound(own_cluster, "leaseless", "klever-controllers", "klever-server"))
    assert f"the user 'leaseless' may not {LEASES}: " in said


def test_the_servers_rights_are_needed_beside_the_controllers(tmp_path: Path, own_cluster: Cluster) -> None:
    said = started(tmp_path, COMMANDS[0], bound(own_cluster, "serverless", "klever-controllers", "klever-lease"))
    missing = (
        "get modeljobs.kleveross.io in all namespaces",
        "create, get, delete servings.kleveross.io in all namespaces",
        "create, get, patch namespaces",
        "list events in all namespaces",
    )
    _, _, listed = said.partition("the user 'serverless' may not ")
    assert set(listed.partition(": apply config/rbac/")[0].split("; ")) == set(missing)


def test_the_rights_on_pods_are_needed_with_pods_alone(tmp_path: Path, own_cluster: Cluster) -> None:
    (tmp_path / "pods.yaml").write_text("image: klever.test/klever:1\n")
    command = (*COMMANDS[1], "--pods", str(tmp_path / "pods.yaml"))
    said = started(tmp_path, command, bound(own_cluster, "podless", "klever-controllers", "klever-lease"))
    missing = {
        "create, list, watch, patch, delete deployments.apps in all namespaces",
        "create, list, watch, patch, delete networkpolicies.networking.k8s.io in all namespaces",
        "create, delete secrets in all namespaces",
        "list, watch, patch pods in all namespaces",
    }
    _, _, listed = said.partition("the user 'podless' may not ")
    assert missing <= set(listed.partition(": apply config/rbac/")[0].split("; "))


def test_preflight_checks_the_granted_verbs() -> None:
    def checked(rights: Iterable[Right]) -> set[tuple[str, str]]:
        return {(right.resource, right.verb) for right in rights}

    leases = {("leases", verb) for verb in ("create", "get", "patch")}
    assert checked(CONTROLLERS) | leases == granted("controllers.yaml")
    assert checked(SERVER) == granted("server.yaml")
    assert checked(PODS) == granted("pods.yaml")


def test_kinds_that_are_missing_or_others(start: Start, broken: Cluster) -> None:
    said = start(broken.kubeconfig)
    assert "modeljobs.kleveross.io is not installed; servings.kleveross.io is not installed" in said
    assert "kubectl apply -f config/crd/" in said
    for path in CRDS.iterdir():
        crd = yaml.safe_load(path.read_text())
        (version,) = crd["spec"]["versions"]
        if crd["spec"]["names"]["plural"] == "servings":
            version["name"] = "v1beta1"
        else:
            version.pop("subresources", None)
        broken.kubectl("create", "-f", "-", stdin=json.dumps(crd))
    broken.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", f"{CRDS}/")
    said = start(broken.kubeconfig)
    assert "the CRD modeljobs.kleveross.io belongs to another program: it has no status subresource" in said
    assert "servings.kleveross.io is served as v1beta1, but this Klever needs v1alpha1" in said


def test_a_context_is_chosen_by_its_name(tmp_path: Path, own_cluster: Cluster) -> None:
    def two(config: Any) -> None:
        context = config["contexts"][0]["context"]
        config["contexts"].append({"name": "other", "context": context | {"cluster": "gone"}})
        config["clusters"].append({"name": "gone", "cluster": {"server": "https://127.0.0.1:1"}})
        config["current-context"] = "other"

    kubeconfig = rewritten(own_cluster.kubeconfig, tmp_path / "kubeconfig", two)
    store = (*Objects(own_cluster).fresh()[:2], "--kubeconfig", str(kubeconfig))
    wrong = Platform(tmp_path / "wrong").begin(*store, "--context", "nope")
    assert "context 'nope' not found: give --context, one of other, test" in wrong.communicate(timeout=30)[1]
    platform = Platform(tmp_path / "platform", (*store, "--context", "test"))
    platform.start()
    try:
        assert platform.get("servings")["items"] == []
    finally:
        platform.clean_up()


def test_a_second_data_directory_is_refused(tmp_path: Path, own_cluster: Cluster) -> None:
    """It would serve from a registry and on a gateway of its own."""
    platform = Platform(tmp_path / "first", Objects(own_cluster).fresh())
    platform.start()
    try:
        until(lambda: "is the leader" in platform.log.read_text())
        said = [started(tmp_path / command[0], command, own_cluster.kubeconfig) for command in COMMANDS]
    finally:
        platform.clean_up()
    assert all(f"with the data directory {socket.gethostname()}:{platform.data}" in words for words in said)
