"""Inspection: what an unpacked model holds, found out without executing or importing anything of it.

`inspect` looks at every file. Whatever it cannot look into, or cannot follow, counts as code. `verdict_of` makes the
record of it that the control plane keeps by the content's digest (`ModelInspection`). Forbidden here: to unpickle, to
import what a model names, and to believe a size that a file states.
"""

from klever.inspection.inspector import Finding, Inspection, inspect
from klever.inspection.verdict import VERSION, spec_of

__all__ = ["VERSION", "Finding", "Inspection", "inspect", "spec_of"]
