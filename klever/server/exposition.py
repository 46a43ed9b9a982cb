"""Joins metrics in Prometheus' text format (0.0.4) and adds the labels of a Serving.

Metrics keep their names, so that existing dashboards for Envoy and the runtimes work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["Exposition"]

_SAMPLE: Final = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S.*)")
_CLUSTER: Final = re.compile(r'envoy_cluster_name="([^"|]*)\|([^"|]*)\|([^"|]*)\|([^"|]*)\|([^"|]*)"')
_LABELS: Final = r'namespace="\1",serving="\2",predictor="\3",workload="\4",protocol="\5"'
"""The parts of a cluster name in the gateway."""


class Exposition:
    """Metric families, in the order of their first appearance."""

    def __init__(self) -> None:
        self._heads: dict[str, list[str]] = {}
        self._samples: dict[str, list[str]] = {}

    def add(self, text: str, labels: Mapping[str, str]) -> None:
        """Add metrics with further labels. Raise `ValueError` and add nothing if the text is invalid."""
        heads: dict[str, list[str]] = {}
        samples: dict[str, list[str]] = {}
        family = ""
        more = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        for line in filter(None, map(str.strip, text.splitlines())):
            if line.startswith("#"):
                words = line.split(maxsplit=3)
                if len(words) > 2 and words[1] in {"HELP", "TYPE"}:
                    family = words[2]
                    heads.setdefault(family, []).append(line)
            else:
                name, sample = _labelled(line, more)
                within = family and name.startswith(family)  # of a histogram: NAME_bucket, NAME_sum, NAME_count
                samples.setdefault(family if within else name, []).append(sample)
        for name, lines in samples.items():
            self._heads.setdefault(name, heads.get(name, []))
            self._samples.setdefault(name, []).extend(lines)

    def __str__(self) -> str:
        lines = (line for name, found in self._samples.items() for line in (*self._heads[name], *found))
        return "\n".join(lines) + "\n"


def _labelled(line: str, more: str) -> tuple[str, str]:
    match = _SAMPLE.fullmatch(line)
    if match is None:
        raise ValueError(f"invalid sample {line[:100]!r}")
    name, own, value = match.groups()
    inside = ",".join(filter(None, (_CLUSTER.sub(_LABELS, own or ""), more)))
    return name, f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
