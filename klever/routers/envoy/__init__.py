"""The router on one machine: Envoy, configured with files that it watches.

A restarted Envoy reads the files again. A restarted control plane reads the routes from them.
"""

from klever.routers.envoy.gateway import Gateway, Tls
from klever.routers.envoy.router import EnvoyRouter

__all__ = ["EnvoyRouter", "Gateway", "Tls"]
