"""The signature of a model: its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from klever.formats.details import NO_DETAILS, Details

__all__ = ["Signature", "Tensor"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output.

    `size` has -1 for a dynamic dimension and is None for an unknown rank. `dtype` is a numpy name (`float32`,
    `string`), or a notation for types that are not tensors (`sequence(map(int64,float32))`). `op_type` and `values` are
    for PMML.
    """

    name: str
    size: tuple[int, ...] | None = None
    dtype: str = ""
    op_type: str = ""
    values: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it with the ORMB config's field names. `size` is absent for an unknown rank."""
        document: dict[str, Any] = {"name": self.name}
        if self.size is not None:
            document["size"] = list(self.size)
        document["dType"] = self.dtype
        if self.op_type:
            document["opType"] = self.op_type
        if self.values:
            document["values"] = list(self.values)
        return document


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs, outputs, counts of operators (for PMML: model elements), and details.

    An operator in a function of a TensorFlow library counts as `function/OPERATOR`.
    """

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    layers: Mapping[str, int] = field(default_factory=dict)
    details: Details = NO_DETAILS

    def to_json(self) -> dict[str, Any]:
        """Return it with the ORMB config's field names. `details` are an extension of Klever, and absent if empty."""
        document: dict[str, Any] = {
            "inputs": [t.to_json() for t in self.inputs],
            "outputs": [t.to_json() for t in self.outputs],
            "layers": dict(self.layers),
        }
        details = self.details.to_json()
        return document | {"details": details} if details else document
