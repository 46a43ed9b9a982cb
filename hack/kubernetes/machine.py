"""A machine within this one, for pods to run on: processes, mounts and a network of its own.

unshare(1) makes its namespaces, nsenter(1) starts what runs there. The kernel ends all processes of a PID namespace
with the first, and mounts, links, routes and packet filters with the last process that uses them: whatever was killed,
and however, nothing of them is left. What no namespace holds, cgroups, is removed by `end`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.kubernetes import cgroups
from hack.kubernetes.network import Network, identity
from hack.kubernetes.processes import Processes

__all__ = ["HIDDEN", "MACHINE", "Machine"]

MACHINE = "machine"
"""The record of its first process, which ends all others with it."""
HIDDEN = ("/run", "/var/lib", "/var/log")
"""Where containerd, runc, CNI and the kubelet write at paths that cannot be configured."""
_SYSCTL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What the kubelet would set for the whole kernel: it finds these values, and sets nothing."""
_LINKS = Path("/sys/class/net")
_LAUNCH = '"$@" >>"$0" 2>&1 </dev/null & echo $!'


class Machine:
    """Runs while its first process does; `end` leaves nothing. One for each directory, any number beside each other."""

    def __init__(self, root: Path, processes: Processes) -> None:
        self.root = root
        self.processes = processes
        self.cgroup = f"klever-{identity(root)}"
        self.link = f"klv-{identity(root)}"

    def start(self, first: Path, network: Network) -> None:
        """Start it, with `first` as its first process, unless it runs."""
        if self.processes.pid(MACHINE) is not None:
            return
        self.end()
        try:
            self._make(first, network)
        except BaseException:  # half a machine would pass for one
            self.end()
            raise

    def run(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run a command there; returns what it says. Raises `RuntimeError` with its error."""
        return _run(*self._enter(), *command, environment=environment).stdout

    def launch(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start a process there that outlives this one, and record it."""
        script = [*self._enter(), "sh", "-c", _LAUNCH, self.processes.log(name), *command]
        inner = int(_run(*script, environment=environment, new_session=True).stdout)
        pid = self._pids().get(inner)
        if pid is None:
            raise RuntimeError(f"{name} ended at once: see {self.processes.log(name)}")
        self.processes.record(name, pid)

    def end(self) -> None:
        """End every process there, and remove what they left."""
        if self.processes.pid(MACHINE) is None:  # else unshare takes note of its end, and ends
            self.processes.kill("unshare")
        self.processes.kill(MACHINE)
        self.ended()
        self._remove()

    def ended(self) -> None:
        """Return when nothing there runs any more."""
        self.processes.until("the end of unshare", lambda: self.processes.pid("unshare") is None)

    # Within

    def _make(self, first: Path, network: Network) -> None:
        cgroups.make(self.cgroup)
        flags = ("--mount", "--propagation=private", "--mount-proc", "--pid", "--fork", "--kill-child", "--net")
        self.processes.launch("unshare", ["unshare", *flags, first], os.environ)
        self.processes.until("the machine for pods", lambda: self._is_first(first))
        self._mount()
        self._connect(network)

    def _is_first(self, program: Path) -> bool:
        """Whether the first process has its namespaces and its mounts, and runs; it is recorded then."""
        pid = self._pids().get(1)
        if pid is None or not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(bytes(program)):
            return False
        self.processes.record(MACHINE, pid)
        return True

    def _pids(self) -> dict[int, int]:
        """The machine's processes: the pid there and the pid here; none before it has a first process."""
        parent = self.processes.pid("unshare")
        if parent is None:
            raise RuntimeError(f"unshare ended: see {self.processes.log('unshare')}")
        namespace = _namespace(f"/proc/{parent}/ns/pid_for_children")
        processes = Path("/proc").glob("[0-9]*")
        if namespace in {"", _namespace("/proc/self/ns/pid")}:
            return {}
        inside = [process for process in processes if _namespace(process / "ns" / "pid") == namespace]
        return {_innermost(process): int(process.name) for process in inside}

    def _enter(self) -> list[str]:
        pid = self.processes.pid(MACHINE)
        if pid is None:
            raise RuntimeError(f"{MACHINE} does not run")
        return ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--"]

    def _mount(self) -> None:
        values = self.root / "sysctl"
        commands = ["set -e", "mount --make-rshared /"]
        commands += [f"mount -t tmpfs -o mode=755 tmpfs {path}" for path in HIDDEN]
        for name, value in _SYSCTL.items():
            file = values / name.replace("/", ".")
            file.parent.mkdir(exist_ok=True)
            file.write_text(value + "\n")
            commands.append(f"mount --bind '{file}' /proc/sys/{name}")
        commands.append("echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.run("sh", "-c", "\n".join(commands))

    def _connect(self, network: Network) -> None:
        """Lay the link between the host and the machine, and the routes to pods and Services."""
        _batch(
            "ip",
            f"link add {self.link} type veth peer name eth0 netns {self.processes.pid(MACHINE)}",
            f"address add {network.host}/24 dev {self.link}",
            f"link set {self.link} up",
            f"route add {network.pods} via {network.node}",
            f"route add {network.services} via {network.node}",
        )
        _batch(
            *self._enter(),
            "ip",
            "link set lo up",
            f"address add {network.node}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {network.host}",
        )

    def _remove(self) -> None:
        """Remove the cgroups, and wait for the end of the link."""
        if (_LINKS / self.link).exists():
            _run("ip", "link", "delete", self.link, check=False)  # the kernel may be at it already
        self.processes.until("the end of the link", lambda: not (_LINKS / self.link).exists())
        self.processes.until("the end of the cgroups", lambda: cgroups.remove(self.cgroup))


def _namespace(link: str | Path) -> str:
    """What names a namespace; empty where it has no process, or the process has ended or is none of ours."""
    try:
        return str(Path(link).readlink())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def _innermost(process: Path) -> int:
    """The pid of a process in its own PID namespace (proc_pid_status(5), NSpid); 0 where it has ended."""
    try:
        lines = (process / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])


def _batch(*command: str) -> None:
    """Run ip(8) once for several lines: those that hold a space."""
    lines = [argument for argument in command if " " in argument]
    _run(*(argument for argument in command if " " not in argument), "-batch", "-", stdin="\n".join(lines))


def _run(
    *command: str | Path,
    stdin: str = "",
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        input=stdin,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
        start_new_session=new_session,
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done
