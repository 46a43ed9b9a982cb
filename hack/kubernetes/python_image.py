"""Images of this machine's Python and what is installed for it, at the same paths, without a distribution."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from hack.kubernetes.images import write_image

__all__ = ["PYTHON", "write_environment", "write_klever", "write_python"]

_PREFIX = Path(sys.base_prefix)
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = str(_PREFIX / "bin" / "python3")
"""The interpreter in the images."""
_LIBRARY = _PREFIX / "lib" / _VERSION
_PACKAGES = "/opt/klever"
_WITHOUT = (
    *(str(_LIBRARY / name) for name in ("site-packages", "test", "idlelib", "tkinter", "ensurepip")),
    "tests",
    "turtledemo",
    "__pycache__",
)
_TOOLS = tuple(f"{_PACKAGES}/{name}" for name in ("envoy", "mypy", "mypyc", "pip", "ruff"))
"""What a container of Klever does not need: the gateway, and the tools of developers."""
_LOADED = re.compile(r"(?:=> )?(/\S+) \(0x")
_ELF = b"\x7fELF"


def write_python(archive: Path, name: str, *, files: Mapping[str, Path] | None = None) -> None:
    """Write the archive of an image with this interpreter and `files`, by their path in the image."""
    binary = _PREFIX / "bin" / _VERSION
    folders = (_LIBRARY / "lib-dynload", *(files or {}).values())
    libraries = [path for path in _libraries(binary, *_programs(folders)) if not _is_in(path, folders)]
    loaded = {str(path): path.resolve() for path in libraries}
    write_image(
        archive,
        name,
        {str(binary): binary, str(_LIBRARY): _LIBRARY, **loaded, **(files or {})},
        links={PYTHON: _VERSION, "/bin/sh": "bash"},
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
        without=(*_WITHOUT, *_TOOLS),
    )


def write_klever(archive: Path, name: str) -> None:
    """Write the archive of an image with Klever as it is installed here."""
    path = archive.with_suffix(".pth")
    path.write_text(f"{_PACKAGES}\n")
    packages = Path(sysconfig.get_path("purelib"))
    write_python(archive, name, files={_PACKAGES: packages, str(_LIBRARY / "site-packages" / "klever.pth"): path})


def write_environment(archive: Path, name: str, directory: Path) -> None:
    """Write the archive of an image with an environment, and with the shell in which Triton starts its stubs."""
    write_python(archive, name, files={str(directory): directory, "/bin/bash": Path("/bin/bash")})


def _programs(folders: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the programs and shared libraries among files and below folders."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(len(_ELF)) == _ELF:
                        yield path


def _libraries(*programs: Path) -> Iterator[Path]:
    """Yield the shared libraries that programs load, and the loader itself (ldd(1))."""
    done = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True)
    for path in sorted(set(_LOADED.findall(done.stdout))):
        yield Path(path)


def _is_in(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
