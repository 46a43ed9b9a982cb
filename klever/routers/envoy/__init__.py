"""The router on one machine: Envoy, configured by files that it watches.

The files are the truth: Envoy reads them again when it restarts, and a restarted control plane reads the routes back.
"""

from klever.routers.envoy.gateway import Gateway, Tls
from klever.routers.envoy.router import EnvoyRouter

__all__ = ["EnvoyRouter", "Gateway", "Tls"]
