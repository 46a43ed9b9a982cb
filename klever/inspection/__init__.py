"""Inspection: finds code in an unpacked model, without executing or importing any of it.

`inspector.inspect` examines every file. A file that it cannot read or follow counts as code. The module `verdict` makes
the record that the control plane keeps by the content's digest (`ModelInspection`). Forbidden here: unpickling,
importing a name from a model, and trusting a size that a file states.
"""

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = 3
"""The version of the inspection. Content that an older version examined is examined again."""
