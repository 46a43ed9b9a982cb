"""A bare Envoy with one fixed route, next to which the gateway is measured."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.machine import free_port, until_open
from klever.cmd.programs import envoy_binary
from klever.limits import DEFAULTS
from klever.routers.guard import guard_filters

__all__ = ["bare_envoy"]

EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"


@contextmanager
def bare_envoy(directory: Path, address: str, *, guard: bool) -> Iterator[tuple[int, int]]:
    """Yield the pid and the port of an Envoy that passes everything on to a Unix socket, on two threads as the gateway.

    With `guard`, it has the guard's filters.
    """
    port = free_port()
    filters = [{**each, "disabled": False} for each in guard_filters(DEFAULTS)] if guard else []
    file = directory / f"bare-{port}.json"
    file.write_text(json.dumps(_config(port, address, filters)))
    process = subprocess.Popen(
        [str(envoy_binary()), "-c", str(file), "--use-dynamic-base-id", "--concurrency", "2", "--log-level", "error"],
        env={},  # nothing in it says that it belongs to the platform
    )
    try:
        until_open(port)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def _config(port: int, address: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
    router = {"name": "router", "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "server"}}
    manager = {
        "@type": f"{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "route_config": {"virtual_hosts": [{"name": "any", "domains": ["*"], "routes": [route]}]},
        "http_filters": [*filters, router],
    }
    manage = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    endpoint = {"endpoint": {"address": {"pipe": {"path": address}}}}
    cluster = {
        "name": "server",
        "load_assignment": {"cluster_name": "server", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    here = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    listener = {"name": "bare", "address": here, "filter_chains": [{"filters": [manage]}]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
