"""Model formats: recognise one, read its signature. No framework is imported, nothing of a model is executed.

A format is a row of `klever.formats.table`; one that can be read has a module here with
`read_signature(model_dir) -> Signature`, imported on use: the table must be cheap to import.
"""

from klever.formats.signature import Signature, Tensor
from klever.formats.table import FORMATS, Format, Trust, check_layout, detect, get, names, trust_of

__all__ = [
    "FORMATS", "Format", "Signature", "Tensor", "Trust", "check_layout", "detect", "get", "names", "trust_of",
]  # fmt: skip
