"""Model formats: recognizes formats and reads signatures, without importing a framework or executing a model.

A format is a row of `klever.formats.table`. A readable format has a module here with
`read_signature(model_dir) -> Signature`, which is imported on use, because the table must be cheap to import.
"""

from klever.formats.details import NO_DETAILS, Details, LanguageModel
from klever.formats.signature import Signature, Tensor
from klever.formats.table import FORMATS, Format, Trust, check_layout, detect, get, least_trust, names

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
    "least_trust",
    "names",
]
