"""The version of a data directory, and the steps that bring an older one to the version of this Klever.

Files outside the database that change their shape get a step here. The database has its own (klever.store.sqlite).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

import klever
from klever.disk import disk_errors, fsync, replace_file
from klever.errors import FailedPreconditionError, IntegrityError

__all__ = ["VERSION", "migrate"]

_FILE: Final = "version.json"


def migrate(root: Path) -> None:
    """Bring a data directory to the version of this Klever. A directory without a version has version 0.

    Raises `FailedPreconditionError` for a newer version, `IntegrityError` for a damaged file.
    """
    version, writer = _read(root)
    if version > VERSION:
        raise FailedPreconditionError(
            f"{root} has data version {version}, written by Klever {writer}; this is Klever {klever.__version__}, "
            f"which supports up to data version {VERSION}: use Klever {writer} or newer, or another --data",
            reason="DATA_TOO_NEW",
        )
    if version == VERSION:
        return
    with disk_errors(root):
        for step in _STEPS[version:]:
            step(root)
        _write(root / _FILE, {"version": VERSION, "klever": klever.__version__})


def _read(root: Path) -> tuple[int, str]:
    """Return the version of a directory, and the Klever that wrote it."""
    path = root / _FILE
    try:
        found = orjson.loads(path.read_bytes())
        return int(found["version"]), str(found["klever"])
    except FileNotFoundError:
        return 0, ""
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} is damaged: {error}; restore it from a backup", reason="DATA_DAMAGED") from error


def _write(path: Path, document: Any) -> None:
    replace_file(path, orjson.dumps(document, option=orjson.OPT_INDENT_2), mode=0o600)
    fsync(path.parent)


def _rename_fields_of_routes(root: Path) -> None:
    """Give published targets a `workload` for their `revision`, and for `headers`, which all had to hold, `matches`."""
    path = root / "envoy" / "published.json"
    if not path.exists():
        return
    try:
        routes = orjson.loads(path.read_bytes())
        for target in (target for route in routes for target in route["targets"]):
            if "revision" in target:
                target["workload"] = target.pop("revision")
            headers = target.pop("headers", [])
            target.setdefault("matches", [headers] if headers else [])
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # it is damaged, which the gateway reports with what to do
    _write(path, routes)


_STEPS: Final[tuple[Callable[[Path], None], ...]] = (_rename_fields_of_routes,)
"""Step n migrates from version n to n + 1. A step may run again after a crash."""
VERSION: Final = len(_STEPS)
