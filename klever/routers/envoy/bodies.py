"""Limits the body of a REST call before the transcoder reads it: to parse JSON takes much longer than to receive it."""

from __future__ import annotations

from typing import Any, Final

from klever.limits import Limits
from klever.routers.envoy.replies import api_reply

__all__ = ["LIMITED_BODY", "body_filter", "body_reply"]

_NAME: Final = "klever.filters.http.rest_body"


def body_filter(limits: Limits) -> dict[str, Any]:
    """Return a filter that holds a request until it is complete. It does nothing on a route that does not enable it."""
    return {
        "name": _NAME,
        "disabled": True,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
            "max_request_bytes": limits.message_bytes,
        },
    }


def body_reply(limits: Limits) -> dict[str, Any]:
    """Return the local reply to a call whose body is too large."""
    message = (
        f"the body is larger than {limits.message_bytes} bytes, the limit message_bytes: "
        "send less, or start the platform with a larger --limit message_bytes=BYTES"
    )
    return {**api_reply(413), "body": {"inline_string": message}}


LIMITED_BODY: Final[dict[str, Any]] = {
    "typed_per_filter_config": {
        _NAME: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}},
    }
}
"""Part of the route of REST calls."""
