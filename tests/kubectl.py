"""An API server as its administrator has it: a kubeconfig, and kubectl with it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Protocol

from hack.kubernetes.build import prepare
from hack.kubernetes.cluster import Cluster
from hack.kubernetes.processes import inherited

__all__ = ["Given", "Kubectl", "clear", "objects", "one_file"]

_NAMES = "custom-columns=:kind,:metadata.namespace,:metadata.name"
_RELEASE = '{"metadata": {"finalizers": null}}'
_OF_OURS = "involvedObject.apiVersion=kleveross.io/v1alpha1"


class Kubectl(Protocol):
    """What tests do with any cluster; those that kill, pause or rebuild one have a `Cluster` of their own."""

    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]: ...


def objects(cluster: Kubectl) -> list[list[str]]:
    """Kind, namespace and name of each ModelJob and Serving."""
    kinds = cluster.kubectl("api-resources", "--api-group=kleveross.io", "--namespaced", "-o", "name").stdout.split()
    if not kinds:
        return []
    found = cluster.kubectl("get", ",".join(kinds), "-A", "--no-headers", "-o", _NAMES).stdout
    return [line.split() for line in found.splitlines()]


def clear(cluster: Kubectl) -> None:
    """Delete all of Klever's objects, what was told of them, and the Lease."""
    for kind, namespace, name in objects(cluster):
        cluster.kubectl("patch", kind, name, "-n", namespace, "--type=merge", "-p", _RELEASE)
    cluster.kubectl("delete", "servings,modeljobs", "-A", "--all", "--ignore-not-found")
    cluster.kubectl("delete", "modelinspections", "--all", "--ignore-not-found")
    cluster.kubectl("delete", "events", "-A", "--field-selector", _OF_OURS)
    cluster.kubectl("delete", "lease", "klever-controllers", "-n", "klever-system", "--ignore-not-found")


def one_file(kubeconfig: str, scratch: Path) -> Path:
    """The file that $KUBECONFIG names; where it names several, one of ours with what kubectl takes from them."""
    if os.pathsep not in kubeconfig:
        return Path(kubeconfig)
    found = subprocess.run(
        ["kubectl", "config", "view", "--flatten", "--minify"],
        executable=prepare(),
        env={**inherited(), "KUBECONFIG": kubeconfig},
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    path = scratch / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(found.stdout)
    return path


class Given:
    """A cluster that somebody else runs. `scratch` is a directory."""

    def __init__(self, kubeconfig: Path, scratch: Path) -> None:
        self.kubeconfig = kubeconfig
        self._runner = Cluster(scratch / "given")

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._runner.kubectl("--kubeconfig", str(self.kubeconfig), *arguments, stdin=stdin, check=check)
