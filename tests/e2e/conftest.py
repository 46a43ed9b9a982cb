"""Everything is shown over both stores: the embedded one, and a real API server."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hack.kubernetes.cluster import Cluster
from hack.kubernetes.python_image import PYTHON, write_environment, write_klever
from hack.kubernetes.requirements import MissingError, require_machine
from klever.cmd.data import default_cache
from klever.environments import EnvironmentManager
from tests.conftest import install_crds
from tests.e2e.platform import Platform, until
from tests.kubectl import Given, Kubectl, clear
from tests.kubectl import objects as cluster_objects

__all__ = ["Objects"]

GRPCURL = "v1.9.4"
KLEVER = "klever.test/klever:1"
TRITON = "klever.test/klever-triton:1"


class Objects:
    """Where a platform's objects are. One platform at a time may use a cluster: they would share the work."""

    def __init__(self, cluster: Kubectl | None) -> None:
        self.cluster = cluster

    def fresh(self) -> tuple[str, ...]:
        """Return the flags of `klever up`, and see to it that no object of before is there."""
        if self.cluster is None:
            return ()
        clear(self.cluster)
        return ("--store", "kubernetes", "--kubeconfig", str(self.cluster.kubeconfig))

    def all(self) -> list[list[str]]:
        """Kind, namespace and name of those that are on a cluster."""
        return [] if self.cluster is None else cluster_objects(self.cluster)


@pytest.fixture(scope="session")
def grpcurl() -> str:
    """Built once, outside the checkout."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "klever" / "tools" / GRPCURL
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / "grpcurl").exists():
            go = shutil.which("go")
            assert go, "install Go: grpcurl is built with it"
            subprocess.run(
                [go, "install", f"github.com/fullstorydev/grpcurl/cmd/grpcurl@{GRPCURL}"],
                env={**os.environ, "GOBIN": str(cache)},
                check=True,
            )
    return str(cache / "grpcurl")


@pytest.fixture(scope="session")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane of this worker alone, for tests that kill it, change its kinds, make users or read its audit."""
    cluster = Cluster(Path(tmp_path_factory.mktemp("cluster")) / "own")
    cluster.up()
    install_crds(cluster)
    yield cluster
    cluster.down()


@pytest.fixture(scope="session")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of this worker alone that runs pods."""
    try:
        require_machine()
    except MissingError as missing:
        pytest.skip(str(missing))
    cluster = Cluster(Path(tmp_path_factory.mktemp("pods")) / "full", "full")
    cluster.up()
    yield cluster
    cluster.down()


@pytest.fixture(scope="session")
def images(pods: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The file of `klever controllers --pods`: the cluster has its images, and everything else that it needs."""
    directory = tmp_path_factory.mktemp("images")
    triton = EnvironmentManager(default_cache() / "environments").status("triton").path
    write_klever(directory / "klever.tar", KLEVER)
    write_environment(directory / "triton.tar", TRITON, triton)
    for name in ("klever", "triton"):
        pods.load(directory / f"{name}.tar")
        (directory / f"{name}.tar").unlink()
    install_crds(pods)
    environments = [{"image": TRITON, "paths": {"triton": str(triton)}}]
    return {"image": KLEVER, "python": PYTHON, "environments": environments}


@pytest.fixture(scope="session")
def istio(pods: Cluster) -> Cluster:
    """The same cluster with Istio."""
    pods.add("istio")
    return pods


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """The cluster of $KUBECONFIG, or else this worker's own."""
    if not os.environ.get("KUBECONFIG"):
        own: Cluster = request.getfixturevalue("own_cluster")
        return own
    return Given(request.getfixturevalue("kubeconfig"), tmp_path_factory.mktemp("kubectl"))


@pytest.fixture(scope="module", params=["sqlite", "kubernetes"])
def objects(request: pytest.FixtureRequest) -> Objects:
    return Objects(request.getfixturevalue("cluster") if request.param == "kubernetes" else None)


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
