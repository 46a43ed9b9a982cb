"""Filters and orders of lists, in the grammar of https://google.aip.dev/160 and https://google.aip.dev/132.

    status.phase = "Failed" AND metadata.labels.team = "vision"
    format = (ONNX OR PMML) AND NOT trust = CODE
    metadata.creation_timestamp > "2026-01-31T12:00:00Z" digits

Fields have their names in the proto or in JSON. A word alone selects objects whose name contains it.
"""

from klever.api.filters.filter import Filter, parse_filter
from klever.api.filters.order import Order, parse_order

__all__ = ["Filter", "Order", "parse_filter", "parse_order"]
