"""Options and fixtures that every test may use."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from hack.kubernetes.cluster import Cluster
from klever.cmd.names import own_names
from tests.kubectl import Given, Kubectl, clear, objects, one_file
from tests.retry import Retry

CLUSTER = "KLEVER_TEST_CLUSTER"
"""Names the directory of the run's control plane, which all workers share."""
_TAKEN = "taken"
"""Beside it: that the cluster of KUBECONFIG is the tests' from now on."""
_OWN = pytest.StashKey[Path]()
"""That directory in the process that made it, and therefore removes it."""
_NEEDS = {"cluster": "cluster", "kubeconfig": "cluster", "machine": "triton", "make_disk": "root"}
"""The marker of each test that uses a fixture, by the fixture's name."""
GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="rewrite the golden files from what the code yields")
    parser.addoption("--retry-e2e", action="store_true", help="run failed end-to-end tests once more, alone")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("triton/onnx.pbtxt", text)` fails unless the golden file holds exactly `text`."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--renew-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"no golden file {name}: run with --renew-golden and review it"
        assert text == path.read_text(), f"{name} differs: run with --renew-golden and review the diff"

    return check


@pytest.fixture(scope="session")
def own_address() -> str:
    """An IPv4 address of this machine beyond loopback."""
    _, *addresses = own_names()
    found = next((address for address in addresses if not ip_address(address).is_loopback), "")
    return found or pytest.skip("this machine has no address beyond loopback")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--retry-e2e") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Retry(config))
    if CLUSTER not in os.environ:  # workers and second runs inherit it
        os.environ[CLUSTER] = tempfile.mkdtemp(prefix="klever-test-")
        config.stash[_OWN] = Path(os.environ[CLUSTER])
    if os.environ.get("KUBECONFIG") and (config.getoption("numprocesses", 0) or 0) > 1:
        raise pytest.UsageError("one test at a time may use the cluster of KUBECONFIG: make test JOBS=1, or unset it")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the fixtures that it uses and by its directory."""
    fixtures = getattr(item, "fixturenames", ())
    for fixture in _NEEDS.keys() & fixtures:
        item.add_marker(_NEEDS[fixture])
    in_e2e = item.path.relative_to(Path(__file__).parent).parts[0] in {"e2e", "attacks"}
    if in_e2e or any(item.get_closest_marker(part) for part in ("cluster", "envoy", "triton")):
        item.add_marker("e2e")


def pytest_unconfigure(config: pytest.Config) -> None:
    if root := config.stash.get(_OWN, None):
        del os.environ[CLUSTER]
        if (root / _TAKEN).exists():
            clear(Given(one_file(os.environ["KUBECONFIG"], root), root))
        Cluster(root / "cluster").down()
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The administrator's kubeconfig of a real API server that has our CRDs: $KUBECONFIG's, or one of this run.

    Tests share it: each uses namespaces of its own. Objects of a cluster that is given are the tests' own, and deleted.
    """
    root = Path(os.environ[CLUSTER])
    named = os.environ.get("KUBECONFIG")
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if named:
            given = Given(one_file(named, root), root)
            take(given, root / _TAKEN)
            return given.kubeconfig
        cluster = Cluster(root / "cluster")
        if not all(cluster.status().values()):
            cluster.up()
            install_crds(cluster)
    return cluster.kubeconfig


def take(cluster: Given, taken: Path) -> None:
    """Prepare somebody's cluster, unless it has objects of theirs. From `taken` on, those that are there are ours."""
    if taken.exists():
        return
    if found := objects(cluster):
        named = ", ".join(" ".join(one) for one in found[:5]) + (", …" if found[5:] else "")
        pytest.fail(
            f"the cluster of KUBECONFIG has Klever's objects, which tests would delete ({named}): delete them "
            "yourself, with their finalizers if nothing works on them any more, or give another cluster",
            pytrace=False,
        )
    apply_crds(cluster)
    taken.touch()


def install_crds(cluster: Cluster) -> None:
    """Have the API server serve our kinds."""
    apply_crds(cluster)
    # Its garbage collector looks for new kinds every 30 s, and when it starts.
    cluster.kill("kube-controller-manager")
    cluster.start("kube-controller-manager")


def apply_crds(cluster: Kubectl) -> None:
    crds = str(Path(__file__).parents[1] / "config" / "crd") + "/"
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", crds)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crds)
