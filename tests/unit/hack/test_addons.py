"""The add-ons of a cluster: built once, and bound to the addresses of its node."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from hack.kubernetes.addons import ADDONS, start
from hack.kubernetes.layout import Layout
from hack.kubernetes.machine import Machine
from hack.kubernetes.modules import Module
from hack.kubernetes.network import Network
from hack.kubernetes.processes import Processes

GO = """#!/bin/sh
echo "$@" >>'{calls}'
case $1 in
  install) echo program >"$GOBIN/tool" ;;
  mod) echo '{{"Dir": "{source}"}}' ;;
esac
"""


def test_a_module_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, source = tmp_path / "calls", tmp_path / "source"
    (source / "config").mkdir(parents=True)
    (source / "config" / "kinds.yaml").write_text("kind: A")
    (tmp_path / "go").write_text(GO.format(calls=calls, source=source))
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module = Module("tool", "example.org/m", "v1.0.0", "cmd/tool", tags="a", files=("config/kinds.yaml",))
    assert module.prepare() == module.prepare()
    assert {path.name for path in module.prepare().iterdir()} == {"tool", "kinds.yaml"}
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["install", "mod"]
    assert "-tags=a" in calls.read_text()
    assert "example.org/m/cmd/tool@v1.0.0" in calls.read_text()


@pytest.mark.parametrize("name", ADDONS)
def test_its_files_name_the_node(name: str, tmp_path: Path) -> None:
    network = Network(IPv4Network("198.18.4.0/22"))
    files = ADDONS[name].files(Layout(tmp_path, {}, network), network)
    for file, content in files.items():
        assert str(network.node) in content
        assert not file.endswith(".json") or json.loads(content)


def test_a_cluster_without_pods_has_none(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    layout = Layout(tmp_path, {}, None)
    with pytest.raises(RuntimeError, match="add-ons are for the tier full"):
        start(ADDONS["dns"], layout, Machine(tmp_path, processes), processes, print)
