"""TorchScript: arguments and results of `forward`, and the operators, from the code in the archive.

The archive is a zip file (torch/csrc/jit/serialization: export.cpp, python_print.cpp). Its `data.pkl` begins with the
class of the module. `code/` has the methods of each class as text. The pickle is not loaded, and the code is not run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.files import only_match
from klever.formats.signature import Signature, Tensor
from klever.formats.torch_storages import count_storages
from klever.formats.zips import open_zip, read_head, read_member

__all__ = ["read_signature"]

_LIMIT: Final = 64 << 30
_HEAD: Final = 1024
_TAR: Final = (257, b"ustar")
_SAVED: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number at the beginning of legacy files (torch/serialization.py)."""
_MAX_CODE: Final = 16 << 20
"""The largest file, and the largest total size."""
_MAX_OPERATORS: Final = 10_000
_MAX_PICKLE: Final = 16 << 20
_MAX_VERSION: Final = 20
_CLASS: Final = re.compile(rb"\x80.c(__torch__[\w.]*)\n(\w+)\n", re.DOTALL)
"""The first opcodes of data.pkl: PROTO, then GLOBAL with module and name."""
_OPERATOR: Final = re.compile(r"\btorch\.([a-z_]\w*(?:\.\w+)?)\(|\bops\.(\w+)\.(\w+)\(")
_KEYS: Final = re.compile(r'"((?:[^"\\]|\\.)*)":')


def read_signature(model_dir: Path) -> Signature:
    """Read the signature. TorchScript has no shapes, and names of results only in a dictionary.

    Other results get Triton's names: OUTPUT__0, OUTPUT__1, …
    """
    path = only_match(model_dir, "*.pt|*.pth", _LIMIT)
    _check_kind(path)
    try:
        with open_zip(path) as archive:
            return _read(archive)
    except InvalidError as error:
        raise InvalidError(f"{path.name} is not a TorchScript archive: {error.message}") from error


def _check_kind(path: Path) -> None:
    """Raise `InvalidError` for files of other functions and versions of PyTorch, with advice."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[_TAR[0] :].startswith(_TAR[1]):
        kind = "a tar archive, as torch.save() of PyTorch 0.1 wrote it"
    elif head.startswith(_SAVED):
        kind = "a pickle, as torch.save() before PyTorch 1.6 wrote it"
    else:
        return
    raise InvalidError(f"{path.name} is {kind}: load it with PyTorch, and save it with torch.jit.save()")


def _read(archive: ZipFile) -> Signature:
    names = archive.namelist()
    root = next((name.removesuffix("data.pkl") for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)), None)
    if root is None:
        raise InvalidError("data.pkl is missing; save the model with torch.jit.save() of PyTorch 1.4 or later")
    code = [name for name in names if name.startswith(f"{root}code/") and name.endswith(".py")]
    if not code:
        raise InvalidError("it contains a pickle of torch.save(): convert the model with torch.jit.script() or trace()")
    found = _CLASS.match(read_head(archive, f"{root}data.pkl", _HEAD))
    if not found:
        raise InvalidError("its data.pkl must begin with a module")
    module, class_name = found[1].decode(), found[2].decode()
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    layers: Counter[str] = Counter()
    left = _MAX_CODE
    for name in sorted(code):
        text = read_member(archive, name, left).decode(errors="replace")
        left -= len(text)
        layers.update(_operators(text))
        if len(layers) > _MAX_OPERATORS:
            raise InvalidError(f"it must have at most {_MAX_OPERATORS} kinds of operators")
        if name == f"{root}code/{module.replace('.', '/')}.py":
            inputs, outputs = _forward(_body(text, class_name))
    return Signature(inputs, outputs, dict(sorted(layers.items())), _details(archive, root))


def _details(archive: ZipFile, root: str) -> Details:
    version = next((name for name in archive.namelist() if name in (f"{root}version", f"{root}.data/version")), None)
    written = read_head(archive, version, _MAX_VERSION).decode(errors="replace").strip() if version else ""
    weights = count_storages(read_member(archive, f"{root}data.pkl", _MAX_PICKLE))
    return Details(
        format_version=f"file format {written}" if written else "",
        parameters=weights.parameters,
        parameter_bytes=weights.bytes,
    )


def _operators(code: str) -> Iterator[str]:
    for found in _OPERATOR.finditer(code):
        yield f"{found[2]}::{found[3]}" if found[2] else f"aten::{found[1]}"


def _body(code: str, class_name: str) -> str:
    """Return the text of a class, from its line to the next line that is not indented."""
    found = re.search(rf"^class {class_name}\(.*\n((?:[ \t].*\n|\n)*)", code, re.MULTILINE)
    if not found:
        raise InvalidError(f"the class {class_name[:80]} is missing in its code")
    return found[1]


def _forward(body: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    start = re.search(r"^ +def forward\(", body, re.MULTILINE)
    if not start:
        return (), ()  # a module without forward
    end = _closing(body, start.end())
    arguments = list(_split(body[start.end() : end]))[1:]  # without self
    result, _, rest = body[end + 1 :].partition(":\n")
    method = re.split(r"^ +def ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return tuple(map(_argument, arguments)), tuple(_results(result.removeprefix(" -> ").strip(), method))


def _argument(text: str) -> Tensor:
    name, _, kind = text.partition(":")
    return Tensor(name.strip(), None, _dtype(kind.partition("=")[0].strip()))


def _results(kind: str, method: str) -> Iterator[Tensor]:
    if kind.startswith("Tuple["):
        parts = list(_split(kind[len("Tuple[") : -1]))
    elif kind.startswith("Dict[str,"):
        returned = method.rpartition("return {")[2]
        for key in dict.fromkeys(_KEYS.findall(returned)):
            yield Tensor(key, None, _dtype(kind[len("Dict[str,") : -1].strip()))
        return
    else:
        parts = [kind]
    for index, part in enumerate(parts):
        yield Tensor(f"OUTPUT__{index}", None, _dtype(part.strip()))


def _dtype(kind: str) -> str:
    """Return the type as written. A tensor has no type until the model runs."""
    return "" if kind == "Tensor" else kind


def _closing(text: str, start: int) -> int:
    """Return the end of the parenthesis that is open at `start`."""
    depth = 1
    for found in re.compile(r"[()\[\]]").finditer(text, start):
        depth += 1 if found[0] in "([" else -1
        if not depth:
            return found.start()
    raise InvalidError("the arguments of forward are truncated")


def _split(text: str) -> Iterator[str]:
    """Yield the parts between commas outside brackets."""
    depth, start = 0, 0
    for found in re.finditer(r"[()\[\],]", text):
        if found[0] == "," and not depth:
            yield text[start : found.start()]
            start = found.end()
        elif found[0] != ",":
            depth += 1 if found[0] in "([" else -1
    if text[start:].strip():
        yield text[start:]
