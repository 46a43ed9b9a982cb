"""The time of language models to the first token, as a histogram of Envoy for streamed responses.

llama.cpp, and other servers of OpenAI's API, send the head of a streamed response with its first token. Source: Envoy's
access logger `envoy.access_loggers.stats`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["first_token_histogram"]

_STATS = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
_CEL = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"


def first_token_histogram() -> dict[str, Any]:
    """Return the access log that counts `envoy_gateway_first_token_milliseconds` for each predictor's cluster."""
    path = {"name": ":path", "string_match": {"prefix": "/openai/v1/"}}
    streamed = "'content-type' in response.headers && response.headers['content-type'].startsWith('text/event-stream')"
    filters = [
        {"header_filter": {"header": path}},
        {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {"@type": _CEL, "expression": streamed},
            }
        },
    ]
    stat = {
        "name": "first_token_milliseconds",
        "tags": [{"name": "envoy_cluster_name", "value_format": "%UPSTREAM_CLUSTER_RAW%"}],
    }
    histogram = {"stat": stat, "unit": "Milliseconds", "value_format": "%RESPONSE_DURATION%"}
    return {
        "name": "envoy.access_loggers.stats",
        "filter": {"and_filter": {"filters": filters}},
        "typed_config": {"@type": _STATS, "stat_prefix": "gateway", "histograms": [histogram]},
    }
