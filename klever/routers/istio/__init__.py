"""Istio's ingress gateway as the router of a Kubernetes cluster."""

from __future__ import annotations

from klever.routers.istio.router import IstioRouter
from klever.routers.istio.settings import IstioSettings

__all__ = ["IstioRouter", "IstioSettings"]
