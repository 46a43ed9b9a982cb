"""How Triton wants each format: its platform, the backend that runs it, and the file names in the version directory.

Source: Triton's docs/user_guide/model_repository.md ("Model Files").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from klever.errors import InvalidError

__all__ = ["LAYOUTS", "Layout"]


@dataclass(frozen=True, slots=True)
class Layout:
    """One format.

    `renamed` maps the suffix (or whole name) of a model file to its name in the version directory; other files keep
    theirs. With `directory` the whole model directory gets that name instead.
    """

    platform: str
    backend: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""

    def links(self, files: tuple[str, ...]) -> dict[str, str]:
        """Links from paths below the version directory to paths below the model directory.

        Raises `InvalidError` if a file that the backend opens is missing, or there are several of it.
        """
        if self.directory:
            return {self.directory: ""}
        links = {self.renamed.get(_kind(file, self.renamed), file): file for file in files}
        for kind, name in self.renamed.items():
            found = [file for file in files if _kind(file, self.renamed) == kind]
            if len(found) > 1:
                raise InvalidError(f"the model has several files for Triton's {name}: {', '.join(found)}")
            if name not in links:
                raise InvalidError(f"the model has no file for Triton's {name}: {kind} is missing")
        return links


def _kind(file: str, kinds: Mapping[str, str]) -> str:
    """The key of `kinds` that a file falls under (by name, then by suffix), else empty; hidden files are of none."""
    path = PurePosixPath(file)
    if path.name.startswith("."):
        return ""
    return next((kind for kind in (path.name, path.suffix) if kind in kinds), "")


LAYOUTS: Final[Mapping[str, Layout]] = {
    "ONNX": Layout("onnxruntime_onnx", "onnxruntime", {".onnx": "model.onnx"}),
    "SavedModel": Layout("tensorflow_savedmodel", "tensorflow", directory="model.savedmodel"),
    "GraphDef": Layout("tensorflow_graphdef", "tensorflow", {".graphdef": "model.graphdef"}),
    "TorchScript": Layout("pytorch_libtorch", "pytorch", {".pt": "model.pt"}),
    "NetDef": Layout("caffe2_netdef", "caffe2", {"predict_net.pb": "model.netdef", "init_net.pb": "init_model.netdef"}),
    "TensorRT": Layout("tensorrt_plan", "tensorrt", {".plan": "model.plan"}),
}
