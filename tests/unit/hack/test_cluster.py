"""The control plane that tests stand on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.kubernetes.cluster import COMPONENTS, Cluster
from tests.conftest import install_crds
from tests.kubectl import Given, one_file

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
MODEL_JOBS = Path(__file__).parents[2] / "data" / "modeljobs"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster") / "it")
    cluster.up()
    install_crds(cluster)
    yield cluster
    cluster.down()


def test_up_twice_is_up(cluster: Cluster) -> None:
    cluster.up()
    assert cluster.status() == dict.fromkeys(COMPONENTS, True)


def test_acknowledged_writes_survive_kill_9(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=1")
    for component in ("kube-apiserver", "etcd"):
        cluster.kill(component)
    assert not cluster.status()["etcd"]
    cluster.up()
    assert cluster.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}").stdout == "1"


def test_users_have_no_rights_of_their_own(cluster: Cluster) -> None:
    kubeconfig = cluster.user("jane")
    done = cluster.kubectl("--kubeconfig", str(kubeconfig), "get", "servings", check=False)
    assert 'User "jane" cannot list resource "servings"' in done.stderr


def test_several_kubeconfigs_are_one(cluster: Cluster, tmp_path: Path) -> None:
    """What the context of one names stands in the other."""
    config = json.loads(cluster.kubeconfig.read_text())
    contexts, rest = tmp_path / "contexts", tmp_path / "rest"
    contexts.write_text(json.dumps({name: config.pop(name) for name in ("contexts", "current-context")}))
    rest.write_text(json.dumps(config))
    given = Given(one_file(f"{contexts}:{tmp_path / 'missing'}:{rest}", tmp_path), tmp_path)
    assert "kube-system" in given.kubectl("get", "namespaces").stdout


def test_our_kinds_read_well(cluster: Cluster) -> None:
    explained = cluster.kubectl("explain", "serving.spec.predictors").stdout
    assert "traffic\t<integer>\n    Share of the requests in percent" in explained
    cluster.kubectl("create", "namespace", "kinds")
    for names in ("modeljobs", "mj", "klever"):
        cluster.kubectl("get", names, "-n", "kinds")


@pytest.mark.parametrize("path", sorted(MODEL_JOBS.glob("*.yaml")), ids=lambda p: p.name)
def test_existing_model_jobs_apply_unchanged(cluster: Cluster, path: Path) -> None:
    assert "serverside-applied" in cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", str(path)).stdout


def test_the_command_leaves_nothing_behind(tmp_path: Path) -> None:
    def run(verb: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "hack" / "cluster"), verb, "--dir", str(tmp_path / "c")]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)

    assert run("status").returncode == 1
    assert "export KUBECONFIG=" in run("up").stdout
    assert run("status").returncode == 0
    assert run("down").returncode == 0
    assert not list(tmp_path.iterdir())
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in content(path)]


def content(path: Path) -> bytes:
    """Of a file in /proc; nothing where its process has ended meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_directory_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    for act in (Cluster(tmp_path).up, Cluster(tmp_path).down):
        with pytest.raises(RuntimeError, match="has files that do not belong to a cluster"):
            act()
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_a_directory_keeps_its_tier(cluster: Cluster) -> None:
    with pytest.raises(RuntimeError, match="has a cluster of the tier control: end it first"):
        Cluster(cluster.root, "full").up()
