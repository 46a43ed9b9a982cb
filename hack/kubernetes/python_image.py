"""The image of this machine's Python: the interpreter and the libraries that it loads, without a distribution."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from hack.kubernetes.images import write_image

__all__ = ["PYTHON", "write_klever", "write_python"]

PYTHON = "/opt/python/bin/python3"
"""The interpreter in the image."""
_ROOT = Path("/opt/python")
_PACKAGES = "/opt/klever"
_TOOLS = ("envoy", "mypy", "mypyc", "pip", "ruff")
"""What a container of Klever does not need: the gateway, and the tools of developers."""
_WITHOUT = (*_TOOLS, "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "__pycache__")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def write_python(archive: Path, name: str, *, files: Mapping[str, Path] | None = None) -> None:
    """Write the archive of an image with this interpreter and `files`, by their path in the image."""
    prefix = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    binary, library = prefix / "bin" / version, prefix / "lib" / version
    folders = (library / "lib-dynload", *(files or {}).values())
    extensions = [path for folder in folders for path in folder.rglob("*.so")]
    loaded = {str(path): path.resolve() for path in _libraries(binary, *extensions)}
    write_image(
        archive,
        name,
        {f"{_ROOT}/bin/{version}": binary, f"{_ROOT}/lib/{version}": library, **loaded, **(files or {})},
        links={PYTHON: version},
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
        without=(*_WITHOUT, f"config-3.{sys.version_info.minor}-x86_64-linux-gnu"),
    )


def write_klever(archive: Path, name: str) -> None:
    """Write the archive of an image with Klever as it is installed here."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    path = archive.with_suffix(".pth")
    path.write_text(f"{_PACKAGES}\n")
    packages = Path(sysconfig.get_path("purelib"))
    write_python(archive, name, files={_PACKAGES: packages, f"{_ROOT}/lib/{version}/site-packages/klever.pth": path})


def _libraries(*programs: Path) -> Iterator[Path]:
    """Yield the shared libraries that programs load, and the loader itself (ldd(1))."""
    done = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True)
    for path in sorted(set(_LIBRARY.findall(done.stdout))):
        if not path.startswith(sysconfig.get_path("purelib")):  # packages bring libraries of their own
            yield Path(path)
