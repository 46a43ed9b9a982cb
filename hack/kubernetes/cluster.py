"""One cluster in one directory: a control plane, and where it is wanted a node that runs pods."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from hack.kubernetes import addons, control, node
from hack.kubernetes.addons import ADDONS
from hack.kubernetes.build import pause, prepare
from hack.kubernetes.certificates import NODE, sign
from hack.kubernetes.control import COMPONENTS, SCHEDULER
from hack.kubernetes.layout import Layout
from hack.kubernetes.machine import HIDDEN, MACHINE, Machine
from hack.kubernetes.packages import environment, packages
from hack.kubernetes.probe import Probe
from hack.kubernetes.processes import Processes, inherited
from hack.kubernetes.requirements import require, require_machine, require_visible
from hack.kubernetes.runtime import Runtime

__all__ = ["ADDONS", "COMPONENTS", "TIERS", "Cluster", "Tier", "prepare_tier"]

Tier = Literal["control", "full"]
TIERS: Mapping[Tier, tuple[str, ...]] = {
    "control": COMPONENTS,
    "full": (MACHINE, *COMPONENTS, SCHEDULER, *node.COMPONENTS),
}
"""The components of each. `MACHINE` is what the others run on where there are pods: it ends them all with it."""


def prepare_tier(tier: Tier, *names: str) -> Path:
    """Have all that a tier and add-ons take; returns the binary. Raises `MissingError` with what this machine lacks."""
    if tier == "full":
        require_machine()
        pause()
        packages()
    for name in names:
        ADDONS[name].prepare()
    return prepare()


class Cluster:
    """A cluster that can be started and stopped repeatedly. `down` removes its directory, which holds all its files.

    `kubeconfig` is the administrator's. Components can be killed, started, paused and resumed one by one. The default
    tier is that of the cluster in the directory, otherwise `control`.
    """

    def __init__(self, root: Path, tier: Tier | None = None) -> None:
        self.root = root.resolve()
        self.kubeconfig = self.root / "kubeconfig"
        self.audit = self.root / "audit.log"
        self._tier = tier
        self._processes = Processes(self.root)
        self._machine = Machine(self.root, self._processes)
        self._runtime = Runtime(self._machine, self._processes)

    # Its life

    def up(self) -> None:
        """Return when it takes objects, and its node takes pods; does nothing where it does already."""
        layout = self._layout() or self._lay_out()
        if self._tier not in {None, self.tier}:
            raise RuntimeError(f"{self.root} has a cluster of the tier {self.tier}: end it first")
        if layout.network:
            self._machine.start(pause(), layout.network)
        self._launch("etcd", "kube-apiserver")
        if layout.network:
            self._launch("containerd")
            self._runtime.load_own()
        self._answers()  # a controller manager ends itself if the API server is not there within seconds
        self._launch(*(component for component in TIERS[self.tier] if component != MACHINE))
        self._await_pods(layout)
        self.add(*self._added())

    def add(self, *names: str) -> None:
        """Start add-ons of a cluster that is up, and return when they are ready. They end with the cluster."""
        layout = self._require_layout()
        for name in names:
            addons.start(ADDONS[name], layout, self._machine, self._processes, self._apply)

    def down(self) -> None:
        """End every process that it started, by its pid, and remove all that is left of it."""
        self._refuse_foreign()
        self._machine.end()
        for name in self._processes.names():
            self._processes.kill(name)
        if self.root.exists():
            shutil.rmtree(self.root)

    def status(self) -> dict[str, bool]:
        """Which components run, those of add-ons that were started included."""
        added = [process for name in self._added() for process in ADDONS[name].processes]
        return {one: self._processes.pid(one) is not None for one in (*TIERS[self.tier], *added)}

    @property
    def tier(self) -> Tier:
        layout = self._layout()
        if layout is None:
            return self._tier or "control"
        return "full" if layout.network else "control"

    @property
    def host(self) -> str:
        """The address at which pods reach what listens on this machine."""
        network = self._require_layout().network
        return "127.0.0.1" if network is None else str(network.host)

    @property
    def gateway(self) -> str:
        """The address at which the gateway of the add-on `istio` listens."""
        return self._require_layout().address

    # Its components

    def start(self, component: str) -> None:
        """Start a component that does not run; returns when the API server answers."""
        self._launch(component)
        self._answers()

    def kill(self, component: str) -> None:
        """Kill -9, and wait for the end."""
        self._processes.kill(component)
        if component == MACHINE:  # its threads end one by one, the last of them with all that ran there
            self._machine.ended()

    def pause(self, component: str) -> None:
        self._processes.signal(component, signal.SIGSTOP)

    def resume(self, component: str) -> None:
        self._processes.signal(component, signal.SIGCONT)

    # Its users

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; with `check` a failure raises what it said."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            executable=prepare(),
            env={**inherited(), "KUBECACHEDIR": str(self.root / "kubectl")},
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def user(self, name: str, group: str = "", *, days: int = 30) -> Path:
        """Make a user with a client certificate for `days`; returns the kubeconfig, which has no rights yet."""
        layout = self._require_layout()
        organisation = f"/O={group}" if group else ""
        sign(layout.pki, name, f"{organisation}/CN={name}", days=days)
        return layout.write_kubeconfig(name)

    def load(self, archive: Path) -> None:
        """Give the node the images of an archive (`hack.kubernetes.images`, `docker save`)."""
        self._runtime.load(archive)

    # Within

    def _layout(self) -> Layout | None:
        return Layout.load(self.root)

    def _require_layout(self) -> Layout:
        layout = self._layout()
        if layout is None:
            raise RuntimeError(f"no cluster in {self.root}: hack/cluster up")
        return layout

    def _refuse_foreign(self) -> None:
        """Raise where the directory has other files than a cluster's: they would go with it."""
        if self.root.exists() and any(self.root.iterdir()) and not (self.root / "pki").is_dir():
            raise RuntimeError(f"{self.root} has files that do not belong to a cluster: choose another directory")

    def _lay_out(self) -> Layout:
        self._refuse_foreign()
        require(openssl="install openssl")
        prepare_tier(self.tier)
        if self.tier == "full":
            for directory in (self.root, packages(), prepare()):
                require_visible(directory, HIDDEN)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        layout = Layout.make(self.root, pods=self.tier == "full")
        if layout.network:
            node.configure(layout, layout.network, self._machine.cgroup)
        return layout

    def _launch(self, *components: str) -> None:
        layout = self._require_layout()
        for component in components:
            if self._processes.pid(component) is not None:
                continue
            if component in node.COMPONENTS:
                command = node.command(component, layout)
            else:
                command = [str(prepare()), component, *control.arguments(component, layout)]
            if layout.network:
                self._machine.launch(component, command, environment())
            else:
                self._processes.launch(component, command, inherited())

    def _apply(self, objects: str) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=objects)

    def _added(self) -> list[str]:
        """The add-ons that were started before."""
        recorded = self._processes.names()
        return [name for name, addon in ADDONS.items() if addon.processes[0] in recorded]

    def _answers(self) -> None:
        probe = Probe(self._require_layout())
        self._processes.until("the API server", lambda: probe.answers("/readyz"))

    def _await_pods(self, layout: Layout) -> None:
        """Wait for all that a pod takes; without a node, for what its namespace has."""
        probe = Probe(layout)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._processes.until("the default namespace", lambda: probe.answers(account))
        if layout.network:
            healthy = f"http://{layout.address}:{node.PROXY_PORT}/healthz"
            self._processes.until("the node", lambda: probe.is_ready(f"/api/v1/nodes/{NODE}"))
            self._processes.until("kube-proxy", lambda: probe.answers(healthy))
