"""Envoy's overload manager: when memory or connections run out, it ends large requests, then rejects new ones."""

from __future__ import annotations

from typing import Any, Final

from klever.limits import Limits

__all__ = ["overload_manager"]

_HEAP: Final = "envoy.resource_monitors.fixed_heap"
_MESSAGES: Final = "type.googleapis.com/envoy.extensions.resource_monitors"
_TIMERS: Final = {
    "@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
    "timer_scale_factors": [{"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_timeout": "5s"}],
}
"""When memory is low, a client may keep an incomplete request no longer than this."""


_SHED: Final = {"scaled": {"scaling_threshold": 0.6, "saturation_threshold": 0.95}}
"""Above 60 % of the heap, requests are ended at random, with a probability that grows with the heap.

HTTP/1 requests draw whenever bytes arrive: thousands of times for a large request, once for a small one. Large requests
therefore end long before small ones, health checks and API calls are affected.
"""


def overload_manager(limits: Limits) -> dict[str, Any]:
    """Return the overload manager's configuration. It checks the heap every 50 ms."""
    return {
        "refresh_interval": "0.05s",
        # Only requests that hold at least 1 MiB (2^20) can be ended.
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{_MESSAGES}.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": limits.gateway_connections,
                },
            },
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{_MESSAGES}.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": limits.gateway_bytes // 2,  # the guard's scripts use the rest
                },
            },
        ],
        "actions": [
            _trigger("overload_actions.shrink_heap", _above(0.5)),
            _trigger("overload_actions.reduce_timeouts", _between(0.6, 0.9)) | {"typed_config": _TIMERS},
            _trigger("overload_actions.reset_high_memory_stream", _SHED),  # for HTTP/2 only
            _trigger("overload_actions.stop_accepting_requests", _above(0.95)),
        ],
        "loadshed_points": [_trigger("load_shed_points.http1_server_abort_dispatch", _SHED)],
    }


def _trigger(name: str, when: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"envoy.{name}", "triggers": [{"name": _HEAP, **when}]}


def _above(pressure: float) -> dict[str, Any]:
    return {"threshold": {"value": pressure}}


def _between(begin: float, full: float) -> dict[str, Any]:
    return {"scaled": {"scaling_threshold": begin, "saturation_threshold": full}}
