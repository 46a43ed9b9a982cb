"""Checks the bounds of a signature, which any author can write and from which probes and examples are made."""

from __future__ import annotations

import re
from typing import Final

from klever.formats.details import Details
from klever.formats.signature import Signature, Tensor
from klever.limits import Limits

__all__ = ["check_bounds", "elements"]

_BITS: Final = re.compile(r"\d+$")
_OTHER_BYTES: Final = 4
"""Bytes of an element whose type does not state its bits: a bool has 1, an empty string has 4 in a request."""
_MOST: Final = (1 << 63) - 1
"""The largest count: the product of 32 dimensions would have 600 digits."""


def check_bounds(signature: Signature, limits: Limits) -> None:
    """Raise `InvalidError` that names the tensor and the limit that the signature exceeds."""
    for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        limits.check("tensors", len(tensors), f"signature.{side}", f"signature.{side}")
        for index, tensor in enumerate(tensors):
            _check_tensor(tensor, f"signature.{side}[{index}]", limits)
    limits.check("operators", len(signature.layers), "signature.layers", "signature.layers")
    for operator in signature.layers:
        limits.check("name_length", len(operator), "the name of an operator", "signature.layers")
    _check_details(signature.details, limits)
    used = sum(elements(tensor) * _element_bytes(tensor) for tensor in signature.inputs)
    limits.check("example_bytes", min(used, _MOST), "an example request", "signature.inputs")


def elements(tensor: Tensor) -> int:
    """Return the number of elements of a tensor, with 1 for dynamic dimensions; at most 2**63 - 1."""
    count = 1
    for size in tensor.size or ():
        count = min(count * max(1, size), _MOST)
    return count


def _check_tensor(tensor: Tensor, path: str, limits: Limits) -> None:
    what = f"tensor {tensor.name[:80]!r}"
    for text in (tensor.name, tensor.dtype, tensor.op_type, *tensor.values):
        limits.check("name_length", len(text), f"a name or value of {what}", path)
    limits.check("tensor_values", len(tensor.values), what, f"{path}.values")
    limits.check("tensor_rank", len(tensor.size or ()), what, f"{path}.size")
    limits.check("tensor_elements", elements(tensor), what, f"{path}.size")


def _check_details(details: Details, limits: Limits) -> None:
    path = "signature.details"
    limits.check("tensor_values", len(details.classes), "the list of classes", f"{path}.classes")
    limits.check("tensor_values", len(details.feature_names), "the list of features", f"{path}.featureNames")
    limits.check("warnings", len(details.warnings), "the signature", f"{path}.warnings")
    texts = [details.format_version, details.producer, *details.classes, *details.feature_names, *details.warnings]
    if (model := details.language_model) is not None:
        texts += [model.architecture, model.quantization]
        limits.check("chat_template_length", len(model.chat_template), "the chat template", f"{path}.languageModel")
    for text in texts:
        limits.check("name_length", len(text), "a text of the details", path)


def _element_bytes(tensor: Tensor) -> int:
    bits = _BITS.search(tensor.dtype)
    return max(1, int(bits[0]) // 8) if bits and len(bits[0]) < 4 else _OTHER_BYTES
