"""Inspection: what an unpacked model holds, found out without executing or importing anything of it.

`inspector.inspect` looks at every file. Whatever it cannot look into, or cannot follow, counts as code. The module
`verdict` makes the record that the control plane keeps by the content's digest (`ModelInspection`). Forbidden here: to
unpickle, to import what a model names, and to believe a size that a file states.
"""

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = 2
"""Of the inspection: a content that an older one has looked at is looked at again."""
