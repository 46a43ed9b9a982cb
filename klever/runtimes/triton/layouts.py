"""How Triton wants each format: its platform, the backend that runs it, and the file names in the version directory.

Only the files of this table are laid out for a server: whatever else a model holds must not lie where a backend, or
the interpreter of one, could load it.
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

    `files` maps the suffix (or whole name) of each file that the backend opens to the name by which it opens it. With
    `directory` the backend gets the whole model directory by that name; if there are `files` too, it is told which of
    them to open there, because that file names others beside it.
    """

    platform: str
    backend: str
    files: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""

    @property
    def main(self) -> str:
        """The name of the first file of the table."""
        return next(iter(self.files.values()))

    def find(self, files: tuple[str, ...]) -> dict[str, str]:
        """Return the model's file for each name in `files`.

        Raises `InvalidError` if a file that the backend opens is missing, or if there are several candidates for it.
        """
        found: dict[str, str] = {}
        for kind, name in self.files.items():
            candidates = [file for file in files if _kind(file, self.files) == kind]
            if not candidates:
                raise InvalidError(f"the model has no file for Triton's {name}: {kind} is missing")
            if len(candidates) > 1:
                raise InvalidError(f"the model has several files for Triton's {name}: {', '.join(candidates)}")
            found[name] = candidates[0]
        return found

    def links(self, files: tuple[str, ...]) -> dict[str, str]:
        """Return links from paths below the version directory to paths below the model directory; raises as `find`."""
        found = self.find(files)
        return {self.directory: ""} if self.directory else found

    def file(self, files: tuple[str, ...]) -> str:
        """Return the path that the backend opens if it has another name than the backend's own; raises as `find`."""
        found = self.find(files)
        return f"{self.directory}/{found[self.main]}" if self.directory and found else ""


def _kind(file: str, kinds: Mapping[str, str]) -> str:
    """Return the key of `kinds` for a file at the top of the model, by its name, then its suffix; else empty."""
    path = PurePosixPath(file)
    if path.name.startswith(".") or len(path.parts) > 1:
        return ""
    return next((kind for kind in (path.name, path.suffix) if kind in kinds), "")


LAYOUTS: Final[Mapping[str, Layout]] = {
    "ONNX": Layout("onnxruntime_onnx", "onnxruntime", {".onnx": "model.onnx"}, directory="model"),
    "SavedModel": Layout("tensorflow_savedmodel", "tensorflow", directory="model.savedmodel"),
    "GraphDef": Layout("tensorflow_graphdef", "tensorflow", {".graphdef": "model.graphdef"}),
    "TorchScript": Layout("pytorch_libtorch", "pytorch", {".pt": "model.pt"}),
    "NetDef": Layout("caffe2_netdef", "caffe2", {"predict_net.pb": "model.netdef", "init_net.pb": "init_model.netdef"}),
    "TensorRT": Layout("tensorrt_plan", "tensorrt", {".plan": "model.plan"}),
}
