"""Writes a library that stands in for those of CUDA, so that PyPI's PyTorch loads and runs on CPUs without them.

PyTorch's libraries link to CUDA's, and call them only on GPUs. The stub defines each symbol that they need, with the
version that they ask for, as a function that answers "no device"; it has the names of all of CUDA's libraries.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["make_stub"]

_STUB = "libcuda_stub.so"
_NO_DEVICE = 100  # cudaErrorNoDevice
_SYSTEM = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|z|gcc_s|stdc\+\+))\.so.*")
_UNVERSIONED = re.compile(r"(cu|CU|nccl|nv)[A-Za-z_]")
"""Symbols of CUDA's driver, NCCL and NVTX, which have no versions."""
_SPECIAL = {
    "cudaGetDeviceCount": f"int cudaGetDeviceCount(int *count) {{ *count = 0; return {_NO_DEVICE}; }}",
    "cudaGetErrorString": 'const char *cudaGetErrorString(int code) { return "CUDA is not installed"; }',
    "cudaGetErrorName": 'const char *cudaGetErrorName(int code) { return "cudaErrorNoDevice"; }',
    "cudaGetLastError": "int cudaGetLastError(void) { return 0; }",
    "cudaDriverGetVersion": "int cudaDriverGetVersion(int *version) { *version = 0; return 0; }",
}


def make_stub(libraries: Path) -> None:
    """Write the stub into the directory of PyTorch's libraries, unless it is there. Needs gcc and readelf."""
    if (libraries / _STUB).exists():
        return
    files = sorted(p for p in libraries.iterdir() if re.search(r"\.so(\.|$)", p.name) and not p.is_symlink())
    needed = {name for path in files for name in re.findall(r"\(NEEDED\).*\[(.+)\]", _readelf("-d", path))}
    missing = sorted(name for name in needed - {path.name for path in files} if not _SYSTEM.fullmatch(name))
    versions = {version for path in files for version in _find_versions(path, missing)}
    for name in missing:
        (libraries / name).unlink(missing_ok=True)
        (libraries / name).symlink_to(_STUB)
    _compile(libraries / _STUB, _wanted(files, versions))


def _readelf(option: str, path: Path) -> str:
    return subprocess.run(["readelf", "-W", option, path], check=True, capture_output=True, text=True).stdout


def _find_versions(path: Path, missing: Iterable[str]) -> Iterable[str]:
    """Yield the versions of symbols that a library asks the missing ones for."""
    library = ""
    for line in _readelf("-V", path).splitlines():
        if found := re.search(r"File: (\S+)", line):
            library = found[1]
        elif library in missing and (found := re.search(r"Name: (\S+)  Flags", line)):
            yield found[1]


def _wanted(files: Iterable[Path], versions: set[str]) -> Mapping[str, set[str]]:
    """Return the symbols of the missing libraries by version; empty for those without one."""
    wanted: dict[str, set[str]] = defaultdict(set)
    defined: set[str] = set()
    for path in files:
        for line in _readelf("--dyn-syms", path).splitlines():
            fields = line.split()
            if len(fields) < 8 or not fields[0].endswith(":") or not fields[0][:-1].isdigit():
                continue
            name, _, version = fields[7].partition("@")
            version = version.lstrip("@")
            if fields[6] != "UND":
                defined.add(name)
            elif version in versions or (not version and fields[4] != "WEAK" and _UNVERSIONED.match(name)):
                wanted[version].add(name)
    return {version: names - defined for version, names in wanted.items()}


def _compile(target: Path, wanted: Mapping[str, set[str]]) -> None:
    names = sorted(set().union(*wanted.values()))
    source = "\n".join(_SPECIAL.get(name, f"int {name}(void) {{ return {_NO_DEVICE}; }}") for name in names)
    script = "\n".join(
        f"{version or 'UNVERSIONED'} {{ global: {'; '.join(sorted(symbols))}; }};"
        for version, symbols in sorted(wanted.items())
        if symbols
    )
    with tempfile.TemporaryDirectory() as directory:
        code, versions = Path(directory, "stub.c"), Path(directory, "versions")
        code.write_text(source + "\n")
        versions.write_text(script + "\n")
        subprocess.run(
            [
                *("gcc", "-w", "-shared", "-fPIC", "-fno-builtin", f"-Wl,-soname,{_STUB}"),
                *(f"-Wl,--version-script={versions}", "-o", target, code),
            ],
            check=True,
        )
