"""The add-ons of a cluster of the tier `full`, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from hack.kubernetes.addon import Addon
from hack.kubernetes.dns import Dns
from hack.kubernetes.istio import Istio
from hack.kubernetes.layout import Layout
from hack.kubernetes.machine import Machine
from hack.kubernetes.metrics import Metrics
from hack.kubernetes.packages import environment
from hack.kubernetes.probe import Probe
from hack.kubernetes.processes import Processes

__all__ = ["ADDONS", "start"]

ADDONS: Final[Mapping[str, Addon]] = {"dns": Dns(), "metrics": Metrics(), "istio": Istio()}


def start(addon: Addon, layout: Layout, machine: Machine, processes: Processes, apply: Callable[[str], None]) -> None:
    """Start an add-on, and return when it is ready. Does nothing for a process that runs."""
    network = layout.network
    if network is None:
        raise RuntimeError(f"{layout.root} has a cluster without pods: add-ons are for the tier full")
    addon.prepare()
    for name, content in addon.files(layout, network).items():
        (layout.root / name).write_text(content)
    objects = [one if isinstance(one, str) else json.dumps(one) for one in addon.objects(network)]
    if objects:
        apply("\n---\n".join(objects))
    probe = Probe(layout)
    for name in addon.processes:
        process = addon.process(name, layout, network)
        if processes.pid(name) is None:
            machine.launch(name, process.command, {**environment(), **process.environment})
        processes.until(name, partial(probe.answers, process.ready))
