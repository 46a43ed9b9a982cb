"""Pods on this machine: what the cluster of the tier `full` does, and that nothing is left of it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hack.kubernetes import cgroups
from hack.kubernetes.cluster import TIERS, Cluster
from hack.kubernetes.images import BUSYBOX, write_image
from hack.kubernetes.machine import MACHINE
from hack.kubernetes.network import identity
from hack.kubernetes.packages import environment, program
from hack.kubernetes.requirements import MissingError, require_machine
from tests.e2e.platform import until

ROOT = Path(__file__).parents[2]
FOLDERS = ("/run/netns", "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods")
SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


@pytest.fixture(scope="module")
def before() -> Mapping[str, str]:
    """What this machine was like without a cluster."""
    return traces()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, before: Mapping[str, str]) -> Iterator[Cluster]:
    try:
        require_machine()
    except MissingError as missing:
        pytest.skip(str(missing))
    cluster = Cluster(tmp_path_factory.mktemp("cluster") / "full", "full")
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


def test_the_node_is_ready(full: Cluster) -> None:
    assert full.status() == dict.fromkeys(TIERS["full"], True)
    node = get(full, "node/node")
    assert [c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"] == ["True"]


def test_a_job_ends_with_its_message(full: Cluster) -> None:
    run_job(full, "tells", "echo on stdout; echo why >/dev/termination-log")
    assert message(full, "tells") == "why\n"
    assert full.kubectl("logs", "job/tells").stdout == "on stdout\n"


def test_a_service_is_reached_from_here_and_from_a_pod(full: Cluster) -> None:
    full.kubectl("apply", "-f", "-", stdin=json.dumps(web()))
    full.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert get(full, "deployment/web")["status"]["readyReplicas"] == 2
    address = get(full, "service/web")["spec"]["clusterIP"]
    pods = {pod["metadata"]["name"] for pod in get(full, "pods", "-l", "app=web")["items"]}
    answered: set[str] = set()

    def both_answered() -> bool:
        answered.add(fetch(f"http://{address}/name"))
        return answered == pods

    until(both_answered)
    run_job(full, "asks", f"wget -q -O /dev/termination-log http://{address}/name")
    assert message(full, "asks") in pods


def test_a_pod_reaches_what_listens_here(full: Cluster) -> None:
    command = [sys.executable, "-c", SERVER, full.host]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        run_job(full, "calls", f"wget -q -O /dev/termination-log http://{full.host}:{port}/")
        server.kill()
    assert message(full, "calls") == "here"


def test_pods_resolve_the_names_of_services(full: Cluster) -> None:
    full.add("dns")
    full.kubectl("apply", "-f", "-", stdin=json.dumps(web()))
    full.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    run_job(full, "resolves", "wget -q -O /dev/termination-log http://web.default.svc.cluster.local/name")
    assert message(full, "resolves") in {pod["metadata"]["name"] for pod in get(full, "pods", "-l", "app=web")["items"]}


def test_the_api_has_figures_of_pods(full: Cluster) -> None:
    full.add("metrics")
    full.kubectl("apply", "-f", "-", stdin=json.dumps(web()))

    def figures() -> Any:
        path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=app%3Dweb"
        return json.loads(full.kubectl("get", "--raw", path).stdout)["items"]

    until(lambda: len(figures()) == 2, 90)
    assert all(one["containers"][0]["usage"]["memory"] != "0" for one in figures())


def test_images_come_from_archives(full: Cluster, tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("from a file")
    files = {"bin/busybox": program("busybox"), "said.txt": tmp_path / "said.txt"}
    write_image(tmp_path / "own.tar", "klever.test/own:1", files, links={"bin/sh": "busybox", "bin/cp": "busybox"})
    full.load(tmp_path / "own.tar")
    run_job(full, "own", "cp /said.txt /dev/termination-log", image="klever.test/own:1")
    assert message(full, "own") == "from a file"


def test_pods_run_on_when_components_are_killed(full: Cluster) -> None:
    full.kubectl("run", "runs-on", f"--image={BUSYBOX}", "--", "sleep", "1000")
    full.kubectl("wait", "--for=condition=Ready", "pod/runs-on", "--timeout=60s")
    before = get(full, "pod/runs-on")["status"]
    for component in ("kube-proxy", "kubelet", "containerd", "kube-scheduler", "kube-apiserver", "etcd"):
        full.kill(component)
    full.up()
    run_job(full, "after", "echo after >/dev/termination-log")
    assert get(full, "pod/runs-on")["status"]["containerStatuses"] == before["containerStatuses"]


def test_the_cluster_survives_its_machine(full: Cluster) -> None:
    full.kill(MACHINE)
    assert not any(full.status().values())
    full.up()
    run_job(full, "reborn", "echo again >/dev/termination-log")
    assert message(full, "reborn") == "again\n"


def test_down_leaves_nothing(full: Cluster, before: Mapping[str, str]) -> None:
    namespace = Path(f"/proc/{(full.root / f'{MACHINE}.pid').read_text().split()[0]}/ns/pid").readlink()
    full.kill("containerd")
    full.kill("kubelet")
    command = [sys.executable, str(ROOT / "hack" / "cluster"), "down", "--dir", str(full.root)]
    subprocess.run(command, check=True, timeout=60)
    assert not full.root.exists()
    assert not [path for path in Path("/proc").glob("[0-9]*/ns/pid") if same(path, namespace)]
    assert not [path for path in Path("/proc").glob("[0-9]*") if str(full.root) in text(path / "cmdline")]
    assert not [path for path in Path("/proc").glob("[0-9]*") if str(full.root) in text(path / "mountinfo")]
    assert not list(Path("/sys/class/net").glob(f"*{identity(full.root)}*"))
    assert not cgroups.remains(f"klever-{identity(full.root)}")
    listed = subprocess.run([program("nft"), "list", "tables"], env=environment(), capture_output=True, check=True)
    assert b"kube-proxy" not in listed.stdout
    assert traces() == before
    routes = subprocess.run(["ip", "route", "show", "table", "all"], capture_output=True, check=True, text=True)
    assert identity(full.root) not in routes.stdout


SERVER = """
import http.server, sys
class Here(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here")
server = http.server.HTTPServer((sys.argv[1], 0), Here)
print(server.server_port, flush=True)
server.serve_forever()
"""


def web() -> Mapping[str, Any]:
    """Two pods that tell their names, and a Service over them."""
    serve = "mkdir /www && echo -n $HOSTNAME >/www/name && exec httpd -f -p 8080 -h /www"
    container = {
        "name": "web",
        "image": BUSYBOX,
        "command": ["sh", "-c", serve],
        "readinessProbe": {"httpGet": {"path": "/name", "port": 8080}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    selector = {"app": "web"}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web"},
                "spec": {"replicas": 2, "selector": {"matchLabels": selector}, "template": template},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]},
            },
        ],
    }


def run_job(cluster: Cluster, name: str, script: str, image: str = BUSYBOX) -> None:
    """Run a shell script as a Job, to its success."""
    cluster.kubectl("create", "job", name, f"--image={image}", "--", "sh", "-c", script)
    cluster.kubectl("wait", "--for=condition=Complete", f"job/{name}", "--timeout=60s")


def message(cluster: Cluster, job: str) -> str:
    """What a Job's pod left as its last word."""
    (pod,) = get(cluster, "pods", "-l", f"job-name={job}")["items"]
    return str(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])


def get(cluster: Cluster, *arguments: str) -> Any:
    return json.loads(cluster.kubectl("get", *arguments, "-o", "json").stdout)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def traces() -> Mapping[str, str]:
    """What a node would write on this machine if it ran on it: files, and settings of the kernel."""
    files = {str(path): "" for folder in FOLDERS for path in Path(folder).rglob("*")}
    return files | {name: Path("/proc/sys", name).read_text() for name in SETTINGS}


def same(link: Path, target: Path) -> bool:
    try:
        return link.readlink() == target
    except OSError:  # it has ended, or is none of ours
        return False


def text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
