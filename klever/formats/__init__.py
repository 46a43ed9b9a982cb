"""Model formats: recognise one, read its signature. No framework is imported, nothing of a model is executed.

A format is a row of `klever.formats.table`; one that can be read has a module here with
`read_signature(model_dir) -> Signature`, imported on use: the table must be cheap to import.
"""

from klever.formats.details import NO_DETAILS, Details, LanguageModel
from klever.formats.signature import Signature, Tensor
from klever.formats.table import FORMATS, Format, Trust, check_layout, detect, get, names, trust_of

__all__ = [
    "FORMATS",
    "NO_DETAILS",
    "Details",
    "Format",
    "LanguageModel",
    "Signature",
    "Tensor",
    "Trust",
    "check_layout",
    "detect",
    "get",
    "names",
    "trust_of",
]
