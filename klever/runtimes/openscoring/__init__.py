"""PMML models by OpenScoring's REST API, and by the Open Inference Protocol."""

from __future__ import annotations

from klever.runtimes.openscoring.runtime import OpenScoringRuntime

__all__ = ["OpenScoringRuntime"]
