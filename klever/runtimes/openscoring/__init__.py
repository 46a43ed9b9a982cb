"""PMML models with OpenScoring's REST API and the Open Inference Protocol."""

from __future__ import annotations

from klever.runtimes.openscoring.jar import OpenScoringJar
from klever.runtimes.openscoring.runtime import OpenScoringRuntime

__all__ = ["OpenScoringJar", "OpenScoringRuntime"]
