"""One control plane in one directory: etcd, kube-apiserver and kube-controller-manager on free loopback ports."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from hack.kubernetes.build import prepare, require
from hack.kubernetes.certificates import make_certificates, sign

__all__ = ["COMPONENTS", "Cluster"]

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")
_PORTS = ("etcd", "etcd-peer", "apiserver")
_SECONDS = 90.0
_started: list[subprocess.Popen[bytes]] = []
"""Kept, for a Popen that goes away while its process runs warns; they are ended by pid, by whoever comes."""
_AUDIT = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


class Cluster:
    """`up` and `down` as often as wanted; its directory holds all of it, and goes with `down`.

    `kubeconfig` is the administrator's. Components can be killed, started, paused and resumed one by one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.kubeconfig = self.root / "kubeconfig"
        self.audit = self.root / "audit.log"

    # Its life

    def up(self) -> None:
        """Return when it takes objects; does nothing where it does already."""
        if not (self.root / "ports.json").is_file():
            self._lay_out()
        for component in COMPONENTS[:-1]:
            self._launch(component)
        self._answers()
        self._launch(COMPONENTS[-1])  # it ends itself if the API server is not there within seconds
        self._until(
            "the default namespace", lambda: self._succeeds("get", "serviceaccount", "default", "-n", "default")
        )

    def down(self) -> None:
        """End every process that it started, by its pid, and remove the directory."""
        for component in reversed(COMPONENTS):
            self.kill(component)
        shutil.rmtree(self.root, ignore_errors=True)

    def status(self) -> dict[str, bool]:
        """Which components run."""
        return {component: self._pid(component) is not None for component in COMPONENTS}

    # Its components

    def start(self, component: str) -> None:
        """Start a component that does not run; returns when the API server answers."""
        self._launch(component)
        self._answers()

    def kill(self, component: str) -> None:
        """Kill -9, and wait for the end."""
        pid = self._pid(component)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        self._until(f"the end of {component}", lambda: self._pid(component) is None)

    def pause(self, component: str) -> None:
        self._signal(component, signal.SIGSTOP)

    def resume(self, component: str) -> None:
        self._signal(component, signal.SIGCONT)

    # Its users

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; with `check` a failure raises what it said."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            executable=prepare(),
            env={**os.environ, "KUBECACHEDIR": str(self.root / "kubectl")},
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def user(self, name: str, group: str = "") -> Path:
        """Make a user with a client certificate; returns the kubeconfig, which has no rights yet."""
        organisation = f"/O={group}" if group else ""
        sign(self._pki, name, f"{organisation}/CN={name}")
        path = self.root / f"kubeconfig-{name}"
        path.write_text(self._kubeconfig(name))
        return path

    # Within

    @property
    def _pki(self) -> Path:
        return self.root / "pki"

    def _lay_out(self) -> None:
        prepare()
        require(openssl="install openssl")
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_certificates(self._pki)
        (self.root / "audit.yaml").write_text(_AUDIT)
        (self.root / "ports.json").write_text(json.dumps(dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))))
        self.kubeconfig.write_text(self._kubeconfig("admin"))
        self._manager.write_text(self._kubeconfig("kube-controller-manager"))

    @property
    def _manager(self) -> Path:
        return self.root / "kubeconfig-manager"

    def _kubeconfig(self, user: str) -> str:
        files = {"client-certificate": f"{self._pki}/{user}.crt", "client-key": f"{self._pki}/{user}.key"}
        server = f"https://127.0.0.1:{self._port('apiserver')}"
        cluster = {"server": server, "certificate-authority": f"{self._pki}/ca.crt"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": files}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        return json.dumps(config, indent=1)

    def _launch(self, component: str) -> None:
        if self._pid(component) is not None:
            return
        with (self.root / f"{component}.log").open("ab") as log:
            process = subprocess.Popen(
                [component, *self._arguments(component)],
                executable=prepare(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _started.append(process)
        self._record(component).write_text(f"{process.pid} {_start_time(process.pid)}")

    def _answers(self) -> None:
        self._until("the API server", lambda: self._succeeds("get", "--raw", "/readyz"))

    def _port(self, name: str) -> int:
        return int(json.loads((self.root / "ports.json").read_text())[name])

    def _arguments(self, component: str) -> list[str]:
        pki, etcd = self._pki, f"http://127.0.0.1:{self._port('etcd')}"
        peer = f"http://127.0.0.1:{self._port('etcd-peer')}"
        if component == "etcd":
            return [
                f"--data-dir={self.root / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--log-level=warn",
            ]
        if component == "kube-apiserver":
            return [
                f"--etcd-servers={etcd}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                "--endpoint-reconciler-type=none",
                f"--secure-port={self._port('apiserver')}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=RBAC",
                f"--client-ca-file={pki}/ca.crt",
                f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={pki}/accounts.key",
                f"--service-account-key-file={pki}/accounts.key",
                f"--audit-policy-file={self.root / 'audit.yaml'}",
                f"--audit-log-path={self.audit}",
            ]
        return [
            f"--kubeconfig={self._manager}",
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki}/accounts.key",
            f"--root-ca-file={pki}/ca.crt",
            "--controllers=*,-nodeipam,-node-lifecycle-controller",
        ]

    def _record(self, component: str) -> Path:
        return self.root / f"{component}.pid"

    def _pid(self, component: str) -> int | None:
        """The pid of a component that runs: one that was given to another process since is not it."""
        try:
            pid, started = self._record(component).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None

    def _signal(self, component: str, number: signal.Signals) -> None:
        pid = self._pid(component)
        if pid is None:
            raise RuntimeError(f"{component} does not run")
        os.kill(pid, number)

    def _succeeds(self, *arguments: str) -> bool:
        return self.kubectl("--request-timeout=2s", *arguments, check=False).returncode == 0

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} was not there within {_SECONDS:g} s; logs are in {self.root}")
            time.sleep(0.05)


def _start_time(pid: int) -> str:
    """When a live process started, in ticks since boot; empty where there is none, or a zombie (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _free_ports(count: int) -> list[int]:
    """Ports below those of connections (32768 and up): a component that was killed finds its own still free."""
    return list(islice(filter(_is_free, random.sample(range(16384, 32768), 1000)), count))


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
