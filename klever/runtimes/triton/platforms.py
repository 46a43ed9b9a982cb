"""The configuration of each format for the backends of an installed Triton.

Source: Triton's docs/user_guide/model_repository.md ("Model Files").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from klever.runtimes.triton.modelfiles import ModelFiles

__all__ = ["PLATFORMS", "Platform"]


@dataclass(frozen=True, slots=True)
class Platform:
    """One format: its platform in config.pbtxt, the backend that runs it, and its files in the version directory."""

    name: str
    backend: str
    files: ModelFiles
    needs_gpu: bool = False


PLATFORMS: Final[Mapping[str, Platform]] = {
    "ONNX": Platform("onnxruntime_onnx", "onnxruntime", ModelFiles({".onnx": "model.onnx"}, directory="model")),
    "SavedModel": Platform("tensorflow_savedmodel", "tensorflow", ModelFiles(directory="model.savedmodel")),
    "GraphDef": Platform("tensorflow_graphdef", "tensorflow", ModelFiles({".graphdef|.pb": "model.graphdef"})),
    "TorchScript": Platform("pytorch_libtorch", "pytorch", ModelFiles({".pt|.pth": "model.pt"})),
    "NetDef": Platform(
        "caffe2_netdef",
        "caffe2",
        ModelFiles({"predict_net.pb": "model.netdef", "init_net.pb": "init_model.netdef"}),
    ),
    "TensorRT": Platform("tensorrt_plan", "tensorrt", ModelFiles({".plan": "model.plan"}), needs_gpu=True),
}
