"""Writes config.pbtxt, Triton's ModelConfig, from a signature.

Source: Triton's model_config.proto and docs/user_guide/model_configuration.md. Shapes are those of the signature, with
the batch dimension. By default `max_batch_size` is 0, so that Triton does not complete the configuration and does not
batch. With batching, Triton adds the batch dimension to the declared shapes itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from klever.errors import InvalidError
from klever.formats import Signature, Tensor
from klever.runtimes.openinference import datatype
from klever.runtimes.tuning import DEFAULT, Tuning

__all__ = ["check_signature", "model_config"]


def check_signature(signature: Signature, *, any_rank: bool) -> None:
    """Raise `InvalidError` that names a tensor that Triton does not support.

    With `any_rank`, outputs may have an unknown rank: the server returns the model's outputs with any shape.
    """
    for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        if not tensors:
            raise InvalidError(
                f"the signature has no {kind}s: declare the name, dType and size of each in ormbfile.yaml"
            )
        for tensor in tensors:
            _check(kind, tensor, any_rank=any_rank and kind == "output")


def _check(kind: str, tensor: Tensor, *, any_rank: bool) -> None:
    if not tensor.name:
        raise InvalidError(f"an {kind} of the signature has no name")
    if not tensor.dtype:
        raise InvalidError(f"{kind} {tensor.name!r} has an unknown type: declare its dType and size in ormbfile.yaml")
    datatype(tensor)
    if tensor.size is None and not any_rank:
        raise InvalidError(
            f"{kind} {tensor.name!r} has an unknown rank: declare its size in ormbfile.yaml, -1 for a dynamic dimension"
        )
    if any(size == 0 or size < -1 for size in tensor.size or ()):
        raise InvalidError(
            f"{kind} {tensor.name!r} has the shape {list(tensor.size or ())}: sizes must be positive, or -1 for dynamic"
        )


def model_config(
    name: str,
    signature: Signature,
    *,
    platform: str = "",
    backend: str = "",
    file: str = "",
    parameters: Mapping[str, str],
    tuning: Tuning = DEFAULT,
    batches: bool = False,
) -> str:
    """Return the file for a signature that passed `check_signature`. Exactly one of platform and backend is given.

    `file` is the path below the version directory that the backend opens, empty for the backend's default.
    With `batches`, Triton itself batches as `tuning` says. Raises `InvalidError` for a shape that it cannot batch.
    """
    batches = batches and tuning.batch_rows > 1
    lines = [f"name: {_quoted(name)}"]
    fields = {"platform": platform, "backend": backend, "default_model_filename": file}
    lines += [f"{key}: {_quoted(value)}" for key, value in fields.items() if value]
    lines += [f"max_batch_size: {tuning.batch_rows if batches else 0}"]
    for field, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        lines += _tensors(field, map(_row, tensors) if batches else tensors)
    lines += ["instance_group {", f"  count: {tuning.instances}", "  kind: KIND_CPU", "}"]
    if batches:
        lines += ["dynamic_batching {", f"  max_queue_delay_microseconds: {tuning.queue_delay_us}", "}"]
    for key, value in sorted(parameters.items()):
        lines += ["parameters {", f"  key: {_quoted(key)}", f"  value {{ string_value: {_quoted(value)} }}", "}"]
    return "\n".join(lines) + "\n"


def _row(tensor: Tensor) -> Tensor:
    """Return a tensor without its batch dimension, as Triton needs it. Raises `InvalidError` for another shape."""
    if tensor.size is None or len(tensor.size) < 2 or tensor.size[0] != -1:
        raise InvalidError(
            f"tensor {tensor.name!r} has the shape {list(tensor.size or ())}: batching needs a first dimension of -1, "
            "and another one"
        )
    return replace(tensor, size=tensor.size[1:])


def _tensors(field: str, tensors: Iterable[Tensor]) -> Iterable[str]:
    for tensor in tensors:
        # Triton has no scalars: a scalar is declared and sent as a vector of one value, which files/model.py converts.
        # It has no unknown ranks either: an output of unknown rank is declared as a vector, and the response has its
        # shape.
        dims = ", ".join(map(str, (-1,) if tensor.size is None else tensor.size or (1,)))
        yield f"{field} {{"
        yield f"  name: {_quoted(tensor.name)}"
        yield f"  data_type: TYPE_{datatype(tensor).replace('BYTES', 'STRING')}"
        yield f"  dims: [{dims}]"
        yield "}"


def _quoted(text: str) -> str:
    """Return a string literal of protobuf's text format. Quotes, backslashes and control characters are escaped."""
    return '"' + "".join(f"\\{ord(c):03o}" if c in '"\\' or ord(c) < 32 or ord(c) == 127 else c for c in text) + '"'
