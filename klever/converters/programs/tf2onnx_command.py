"""Runs tf2onnx as a command, because its functions for a SavedModel are not public."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from klever.converters.programs.errors import ConversionError

__all__ = ["tf2onnx"]

_COMMAND: Final = Path(__file__).with_name("tf2onnx_main.py")
_OPSET: Final = 18
_LAST_LINES: Final = 5


def tf2onnx(output: Path, *arguments: str) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError` with the last lines of tf2onnx."""
    command = (sys.executable, "-I", str(_COMMAND), "--opset", str(_OPSET), *arguments)
    done = subprocess.run(
        (*command, "--output", str(output / "model.onnx")), capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:]
        raise ConversionError(
            f"tf2onnx cannot convert the model: {' / '.join(lines) or f'it exited with {done.returncode}'}"
        )
