"""What runs for users is in a sandbox, and cannot be reached past the gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.attacks.test_trust import ready, serve
from tests.e2e.platform import Platform, replicas, until

OTHER_USER = 65534


@pytest.fixture(scope="module")
def served(shared_platform: Platform) -> str:
    """The pid of a Triton that serves."""
    shared_platform.push("isolation/adder:v1")
    serve(shared_platform, "isolated", model="isolation/adder:v1")
    until(lambda: ready(shared_platform, "isolated").get("status") == "True", 90)
    (pid,) = [
        pid
        for pid in replicas(shared_platform)
        if b"serving.default.isolated." in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return pid


def status(pid: str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def sockets(platform: Platform) -> list[Path]:
    return sorted((platform.data / "sockets" / "replicas").glob("*/*"))


def test_a_replica_has_no_privileges(shared_platform: Platform, served: str) -> None:
    fields = status(served)
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert int(fields["Seccomp_filters"]) >= 2  # the second one refuses links in place of its sockets
    assert int(fields["CapEff"], 16) == 0
    if os.geteuid() == 0:
        assert fields["Uid"].split()[0] != "0"
        assert int(fields["CapBnd"], 16) == 0
    assert instances(shared_platform)["sandbox"] in ("FULL", "LANDLOCK")


def instances(platform: Platform) -> dict[str, str]:
    code, body = platform.http("GET", "/api/v1alpha1/namespaces/default/servings/isolated/instances")
    assert code == 200, body
    (instance,) = json.loads(body)["items"]
    result: dict[str, str] = instance
    return result


def test_a_replica_listens_on_no_port(shared_platform: Platform, served: str) -> None:
    own = {str(link.readlink()) for link in Path(f"/proc/{served}/fd").iterdir()}
    listening = [
        line.split()
        for name in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/{served}/net/{name}").read_text().splitlines()[1:]
    ]
    inodes = {f"socket:[{fields[9]}]" for fields in listening}
    assert not own & inodes
    assert sockets(shared_platform)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as another user")
def test_other_users_do_not_reach_the_sockets(shared_platform: Platform, served: str) -> None:
    attempt = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    for path in sockets(shared_platform):
        with socket.socket(socket.AF_UNIX) as own:
            own.connect(str(path))
        command = ["/usr/bin/setpriv", f"--reuid={OTHER_USER}", "--clear-groups", "/usr/bin/python3", "-c", attempt]
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
        assert "PermissionError" in done.stderr


def test_a_replica_does_not_see_the_platform(shared_platform: Platform, served: str) -> None:
    """Looked at from inside: through the root directory of its mount namespace."""
    root = Path(f"/proc/{served}/root")
    if instances(shared_platform)["sandbox"] != "FULL":
        pytest.skip("only namespaces have a root of their own: this machine offers Landlock")
    assert not (root / str(shared_platform.data / "token").lstrip("/")).exists()
    assert not (root / str(shared_platform.data / "klever.db").lstrip("/")).exists()
    assert not (root / "etc" / "passwd").exists()
    assert len([p for p in (root / "proc").iterdir() if p.name.isdecimal()]) < 10


def test_nothing_but_the_gateway_is_outside_a_sandbox(shared_platform: Platform, served: str) -> None:
    """Tasks and replicas, ended ones too."""
    records = {path.parent.name: path for path in (shared_platform.data / "processes").glob("*/state.json")}
    levels = {name: json.loads(path.read_text())["level"] for name, path in records.items()}
    assert [name for name, level in levels.items() if not level] == ["gateway"]
    assert {name.partition("-")[0].partition(".")[0] for name in levels} == {"gateway", "serving", "task"}
