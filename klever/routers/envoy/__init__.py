"""The router on one machine: Envoy, configured by files that it watches.

Envoy reads the files again when it restarts. A restarted control plane reads the routes from them.
"""

from klever.routers.envoy.gateway import Gateway, Tls
from klever.routers.envoy.router import EnvoyRouter

__all__ = ["EnvoyRouter", "Gateway", "Tls"]
