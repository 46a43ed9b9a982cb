"""The image of this machine's Python: the interpreter and the libraries that it loads, without a distribution."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from hack.kubernetes.images import write_image

__all__ = ["PYTHON", "write_python"]

PYTHON = "/opt/python/bin/python3"
"""The interpreter in the image."""
_ROOT = Path("/opt/python")
_WITHOUT = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "__pycache__")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def write_python(archive: Path, name: str, *, files: Mapping[str, Path] | None = None) -> None:
    """Write the archive of an image with this interpreter and `files`, by their path in the image."""
    prefix = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    binary, library = prefix / "bin" / version, prefix / "lib" / version
    loaded = {str(path): path.resolve() for path in _libraries(binary, *library.glob("lib-dynload/*.so"))}
    write_image(
        archive,
        name,
        {f"{_ROOT}/bin/{version}": binary, f"{_ROOT}/lib/{version}": library, **loaded, **(files or {})},
        links={PYTHON: version},
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
        without=(*_WITHOUT, f"config-3.{sys.version_info.minor}-x86_64-linux-gnu"),
    )


def _libraries(*programs: Path) -> Iterator[Path]:
    """Yield the shared libraries that programs load, and the loader itself (ldd(1))."""
    done = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True)
    for path in sorted(set(_LIBRARY.findall(done.stdout))):
        yield Path(path)
