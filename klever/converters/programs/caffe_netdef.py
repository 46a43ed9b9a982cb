"""Converts a Caffe model to Caffe2's init_net and predict_net, like caffe2/python/caffe_translator.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from klever.converters.programs.caffe2_schema import NetDef, operator
from klever.converters.programs.caffe_layers import Translation
from klever.converters.programs.caffe_net import Net, read_net
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import given

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write init_net.pb, predict_net.pb and predict_net.pbtxt into `output`. Raises `ConversionError`."""
    net = read_net(model)
    predict, init = NetDef(name=net.name), NetDef(name=f"{net.name}_init")
    inputs = _inputs(net, request, env)
    ranks = {name: len(shape) for name, shape in inputs.items()}
    for layer in net.layers:
        Translation(layer, predict.op, init.op, ranks).translate()
    predict.external_input.extend([*inputs, *(name for op in init.op for name in op.output)])
    predict.external_output.extend(_outputs(predict))
    init.op.extend(operator("ConstantFill", [], [name], shape=shape, value=0.0) for name, shape in inputs.items())
    (output / "predict_net.pb").write_bytes(predict.SerializeToString())
    (output / "init_net.pb").write_bytes(init.SerializeToString())
    (output / "predict_net.pbtxt").write_text(text_format.MessageToString(predict))


def _inputs(net: Net, request: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, list[int]]:
    """Return the shapes of the inputs: from the job, or else from the prototxt."""
    if env.get("INPUTS") or not all(net.inputs.values()):
        return {tensor.name: [abs(dim) for dim in tensor.size or ()] for tensor in given(net.inputs, request)}
    if not net.inputs:
        raise ConversionError("the prototxt has no input: it needs a layer of type Input, or input and input_dim")
    return {name: list(shape) for name, shape in net.inputs.items()}


def _outputs(net: Any) -> list[str]:
    """Return the tensors that an operator writes and no later one reads."""
    read = {name for op in net.op for name in op.input if name not in op.output}
    written = [op.output[0] for op in net.op] + [name for op in net.op if op.type == "Split" for name in op.output[1:]]
    return [name for name in dict.fromkeys(written) if name not in read]
