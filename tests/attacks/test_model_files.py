"""Files beside a model never run, whatever they are named."""

from __future__ import annotations

import importlib.util
import marshal
from pathlib import Path

from tests.attacks.test_trust import ONNX, push, serve
from tests.e2e.platform import Platform, until

MARK = "a file of the model runs"
CODE = f"print({MARK!r}, flush=True)\n"
NAMES = (
    "__init__.py",
    "model.py",
    "model/__init__.py",
    "json.py",
    "numpy.py",
    "numpy/__init__.py",
    "onnxruntime.py",
    "sitecustomize.py",
    "usercustomize.py",
    "triton_python_backend_utils.py",
    "launch.py",
    "x.pth",
)


def bytecode() -> bytes:
    """A .pyc that is never checked against its source (PEP 552, check_source 0)."""
    header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)
    return header + marshal.dumps(compile(CODE, "model.py", "exec"))


def test_files_beside_an_onnx_model_are_not_code(shared_platform: Platform) -> None:
    platform = shared_platform
    files = dict.fromkeys(NAMES, CODE.encode())
    files |= {"__pycache__/model.cpython-311.pyc": bytecode(), "__pycache__/json.cpython-311.pyc": bytecode()}
    files |= dict.fromkeys(
        ("model.abi3.so", "model.cpython-311-x86_64-linux-gnu.so", "libpython3.11.so.1.0"), b"\x7fELF"
    )
    files["digits.onnx"] = next((ONNX / "model").glob("*.onnx")).read_bytes()
    reference = push(platform, "neighbours", files, "format: ONNX\n")
    serve(platform, "neighbours", model=reference)
    until(lambda: platform.get("servings", "neighbours").get("status", {}).get("phase") == "Ready", 90)
    assert MARK not in platform.run("klever", "logs", "serving", "neighbours").stdout
    (directory,) = (platform.data / "processes").glob("serving.default.neighbours.*")
    laid_out = {
        str(p.relative_to(directory / "replica" / "store")) for p in (directory / "replica").rglob("store/**/*")
    }
    programs = {f"models/neighbours/1/{name}.py" for name in ("batches", "model", "program", "tensors")}
    files_of_the_platform = {"launch.py", "models/neighbours/config.pbtxt", *programs}
    directories = {"model", "models", "models/neighbours", "models/neighbours/1"}
    assert laid_out == {*files_of_the_platform, *directories, "model/model.onnx"}
    link = directory / "replica" / "store" / "model" / "model.onnx"
    assert link.is_symlink()
    assert Path(link.resolve()).name == "digits.onnx"
