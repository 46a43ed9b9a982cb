"""The operator's settings for Istio's gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from klever.limits import DEFAULTS, Limits

__all__ = ["IstioSettings"]


@dataclass(frozen=True, slots=True)
class IstioSettings:
    """`url` is the gateway's address for users, `probe` that for the controllers, if it differs.

    `gateway` is `NAMESPACE/NAME` of an existing Gateway. If it is empty, Klever makes one that listens on `port` for
    all `hosts`. `namespace` and `selector` say which pods are the gateway.
    """

    url: str
    probe: str = ""
    gateway: str = ""
    namespace: str = "istio-system"
    selector: Mapping[str, str] = field(default_factory=lambda: {"istio": "ingressgateway"})
    port: int = 80
    hosts: tuple[str, ...] = ("*",)
    drain_s: float = 5.0
    """How long replicas that leave a route keep running: most of their requests end meanwhile, and their pods wait for
    the others."""
    settle_s: float = 1.0
    """How long the gateway may take to learn a new ServiceEntry before a route names it."""
    live_s: float = 20.0
    """How long the gateway may take to apply a route."""
    limits: Limits = DEFAULTS
