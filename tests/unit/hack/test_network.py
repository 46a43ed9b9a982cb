"""Where the addresses of pods come from."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from hack.kubernetes import network
from hack.kubernetes.network import Network


def take(monkeypatch: pytest.MonkeyPatch, *networks: str) -> None:
    """Have the machine have these routes, and no others."""
    monkeypatch.setattr(network, "_routes", lambda: iter([IPv4Network(taken) for taken in networks]))


def test_a_directory_gets_the_same_addresses_again(monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, "192.0.2.0/24")
    chosen = Network.choose(Path("/a"))
    assert Network.choose(Path("/a")).block == chosen.block
    assert Network.choose(Path("/b")).block != chosen.block
    parts = [chosen.pods, chosen.services, IPv4Network(f"{chosen.host}/24", strict=False)]
    assert all(part.subnet_of(chosen.block) for part in parts)
    assert len(set(parts)) == 3


def test_addresses_that_this_machine_has_a_route_to_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch)
    first = Network.choose(Path("/a"))
    take(monkeypatch, str(first.pods))
    assert not Network.choose(Path("/a")).block.overlaps(first.block)
    take(monkeypatch, "198.18.0.0/15")
    with pytest.raises(RuntimeError, match="this machine has routes to all of"):
        Network.choose(Path("/a"))
