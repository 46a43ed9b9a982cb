"""Where what is built or downloaded once is kept, outside the checkout, for each state of what it is made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["entry", "fill"]


def entry(name: str, sources: Iterable[bytes]) -> Path:
    """The path of what is made from these sources: a file or a folder, whole where it is there."""
    digest = hashlib.sha256(b"".join(sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "klever" / "kubernetes" / digest / name


def fill(path: Path, make: Callable[[Path], None]) -> Path:
    """Call `make` unless the path exists. Concurrent callers wait for the first one."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            temporary = path.with_suffix(".new")
            shutil.rmtree(temporary, ignore_errors=True)
            make(temporary)
            temporary.rename(path)
    return path
