"""How a predictor tunes its runtime: dynamic batching, and copies of the model in one process. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["DEFAULT", "TUNING_FIELDS", "Tuning", "read_tuning"]

TUNING_FIELDS: Final = ("batching", "instances")
"""The fields of a predictor that only a runtime with `tunable` supports."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """`batch_rows` is the most rows that are computed together: 0 for the default of the format, 1 for no batching.

    A request waits `queue_delay_us` microseconds for others. Each process loads the model `instances` times.
    """

    batch_rows: int = 0
    queue_delay_us: int = 0
    instances: int = 1


DEFAULT: Final = Tuning()


def read_tuning(predictor: Mapping[str, Any]) -> Tuning:
    """Return the tuning of a predictor of a Serving."""
    batching = predictor.get("batching", {})
    return Tuning(
        batch_rows=batching.get("maxSize", 0),
        queue_delay_us=batching.get("maxQueueDelayMicroseconds", 0),
        instances=predictor.get("instances", 1),
    )
