"""Everything is shown over both stores: the embedded one, and a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.kubernetes.cluster import Cluster
from tests.conftest import install_crds
from tests.e2e.platform import Platform, until

__all__ = ["Objects"]

_KINDS = "servings,modeljobs,events,leases"


class Objects:
    """Where a platform's objects are. One platform at a time may use a cluster: they would share the work."""

    def __init__(self, cluster: Cluster | None) -> None:
        self.cluster = cluster

    def fresh(self) -> tuple[str, ...]:
        """Return the flags of `klever up`, and see to it that no object of before is there."""
        if self.cluster is None:
            return ()
        found = self.cluster.kubectl("get", "servings,modeljobs", "-A", "--no-headers", "-o", _NAMES).stdout
        for namespace, kind, name in (line.split() for line in found.splitlines()):
            self.cluster.kubectl("patch", kind, name, "-n", namespace, "--type=merge", "-p", _RELEASE)
        self.cluster.kubectl("delete", _KINDS, "-A", "--all", "--ignore-not-found")
        return ("--store", "kubernetes", "--kubeconfig", str(self.cluster.kubeconfig))


_NAMES = "custom-columns=:metadata.namespace,:kind,:metadata.name"
_RELEASE = '{"metadata": {"finalizers": null}}'


@pytest.fixture(scope="session")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane of this worker alone."""
    cluster = Cluster(Path(tmp_path_factory.mktemp("cluster")) / "own")
    cluster.up()
    install_crds(cluster)
    yield cluster
    cluster.down()


@pytest.fixture(scope="module", params=["sqlite", "kubernetes"])
def objects(request: pytest.FixtureRequest) -> Objects:
    return Objects(request.getfixturevalue("own_cluster") if request.param == "kubernetes" else None)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Platform]:
    """A platform of its own, which is but the registry here."""
    platform = Platform(tmp_path / "source")
    platform.start()
    platform.push("team/adder:v1")
    until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"))
    yield platform
    platform.clean_up()


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Platform]:
    platform = Platform(tmp_path / "workplace")
    platform.data.mkdir(parents=True)
    yield platform
    platform.run("klever", "down", "--data", str(platform.data))
