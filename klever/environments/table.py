"""The table of environments. An environment is a lock file and a row here, or comes from a plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from klever.plugins import Table

__all__ = ["ENVIRONMENTS", "Environment"]

_LOCKS: Final = Path(__file__).parent / "locks"


@dataclass(frozen=True, slots=True)
class Environment:
    """One row.

    `lock` is a pip requirements file with hashes and all dependencies, without index addresses. `pythons` are the minor
    versions of Python for which its packages have wheels.
    """

    name: str
    description: str
    pythons: tuple[str, ...]
    lock: Path


def _claims(row: Any) -> tuple[str]:
    if not isinstance(row, Environment):
        raise TypeError(f"expected a klever.environments.Environment, not {row!r}")
    return (row.name,)


_BUILT_IN: Final = {
    row.name: row
    for row in (
        Environment(
            name="triton",
            description="Triton Inference Server 2.51 for CPUs, with ONNX Runtime",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "triton.txt",
        ),
        Environment(
            name="onnx",
            description="ONNX and ONNX Runtime, for conversions of MXNet, Caffe and Caffe2 models and for quantization",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "onnx.txt",
        ),
        Environment(
            name="tensorflow",
            description="TensorFlow 2.21, Keras 2 and 3, and tf2onnx: serves and converts their models",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "tensorflow.txt",
        ),
        Environment(
            name="torch",
            description="PyTorch 2.13, ONNX and ONNX Runtime: serves and converts TorchScript models",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "torch.txt",
        ),
        Environment(
            name="tabular-onnx",
            description="scikit-learn, XGBoost and LightGBM with skl2onnx, for conversions of their models to ONNX",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "tabular-onnx.txt",
        ),
        Environment(
            name="llamacpp",
            description="llama.cpp with its HTTP server, for language models in GGUF",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "llamacpp.txt",
        ),
        Environment(
            name="pmml",
            description="PMML4S with its Python interface, for PMML models; it needs a Java runtime on this machine",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "pmml.txt",
        ),
        Environment(
            name="tabular",
            description="scikit-learn, XGBoost and LightGBM models, for Triton's Python backend",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "tabular.txt",
        ),
        Environment(
            name="mlflow",
            description="MLflow models of scikit-learn, XGBoost, LightGBM and Python, for Triton's Python backend",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "mlflow.txt",
        ),
        Environment(
            name="mllib",
            description="Models of Spark MLlib, computed without Spark, for Triton's Python backend",
            pythons=("3.11", "3.12"),
            lock=_LOCKS / "mllib.txt",
        ),
    )
}

ENVIRONMENTS: Final = Table[str, Environment]("klever.environments", _BUILT_IN, _claims)
"""The environments by name, including those of plugins."""
