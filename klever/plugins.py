"""Plugins: rows that other packages add to the tables of formats, environments, converters, runtimes and dialects.

A package declares an entry point in the group of the table. The package of the entry point's module defines
`KLEVER_API`, the version of the contracts for which it was written. Plugins are trusted: their code runs in the
platform's processes. docs/extending.md shows how to write one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["API_VERSION", "Plugin", "Table"]

log = logging.getLogger(__name__)

API_VERSION: Final = 1
"""The version of the contracts that plugins implement. A breaking change increases it."""
_FRAMEWORKS: Final = frozenset(
    "jax keras lightgbm mlflow mxnet onnxruntime pyspark sklearn tensorflow torch xgboost".split()  # noqa: SIM905 - short
)
"""Packages that the platform's processes must not import: they belong in environments."""

_GROUPS: Final = b"[klever."
"""The prefix of the groups of Klever's entry points in a package's metadata."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of another package, and whether its row is in the table.

    `package` is the name and version of the distribution. `directories` are the places from which Python imports its
    package. `trouble` says why the plugin is disabled; it is empty if the plugin is in use.
    """

    group: str
    name: str
    package: str
    directories: tuple[Path, ...] = ()
    trouble: str = ""


class Table(Mapping[K, T]):
    """Rows by key: the built-in ones, then those of plugins, which are loaded at the first look-up.

    A built-in row that is a string, `MODULE:NAME`, is imported when it is looked up. `claims` returns the keys that a
    row claims, its own key first, and raises `TypeError` for an object that is not a row. A plugin is disabled, with a
    warning, if it claims a key of another row, has another API version, or cannot be imported. Threads may share a
    table.
    """

    def __init__(self, group: str, rows: Mapping[K, T | str], claims: Callable[[Any], tuple[Hashable, ...]]) -> None:
        self.group = group
        self._rows: dict[Any, T | str] = dict(rows)
        self._claims = claims
        self._plugins: list[Plugin] | None = None
        self._lock = RLock()

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Return the plugins of this table, including disabled ones."""
        self._loaded()
        return tuple(self._plugins or ())

    def __getitem__(self, key: K) -> T:
        row = self._loaded()[key]
        if not isinstance(row, str):
            return row
        module, _, name = row.partition(":")
        found: T = getattr(import_module(module), name)
        return found

    def __iter__(self) -> Iterator[K]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def __contains__(self, key: object) -> bool:
        return key in self._loaded()

    def _loaded(self) -> dict[Any, T | str]:
        with self._lock:
            if self._plugins is None:
                self._plugins = []  # a look-up during the import of a plugin finds the rows so far
                owners = {key: "Klever" for name, row in self._rows.items() for key in self._keys(name, row)}
                entries = (entry for entry in _scan(tuple(sys.path)) if entry.group == self.group)
                self._plugins += [self._add(entry, owners) for entry in sorted(entries, key=_order)]
        return self._rows

    def _keys(self, name: K, row: T | str) -> tuple[Hashable, ...]:
        return (name,) if isinstance(row, str) else self._claims(row)

    def _add(self, entry: EntryPoint, owners: dict[Hashable, str]) -> Plugin:
        """Add the row of an entry point, or disable the plugin."""
        package = _package(entry)
        try:
            row = _load(entry)
            keys = self._claims(row)
            _check_free(keys, owners)
            directories = _directories(entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises disables that plugin alone
            trouble = str(error) if isinstance(error, _PluginError) else f"{type(error).__name__}: {error}"
            trouble = " ".join(trouble.split())  # one line, for logs and tables
            log.warning("plugin %s of %s is disabled: %s (group %s)", entry.name, package, trouble, self.group)
            return Plugin(self.group, entry.name, package, trouble=trouble)
        self._rows[keys[0]] = row
        owners |= dict.fromkeys(keys, package)
        return Plugin(self.group, entry.name, package, directories)


class _PluginError(Exception):
    """A violation of the rules for plugins."""


@lru_cache(maxsize=1)
def _scan(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points in Klever's groups of all packages on sys.path, which is `path`."""
    if not any(_mentions_us(file) for place in path for file in Path(place).glob("*-info/entry_points.txt")):
        return ()
    from importlib.metadata import entry_points  # noqa: PLC0415 - costs 40 ms, and most machines have no plugin

    found = entry_points()
    ours = [group for group in found.groups if group.startswith("klever.")]
    return tuple(entry for group in ours for entry in found.select(group=group))


def _mentions_us(file: Path) -> bool:
    try:
        return _GROUPS in file.read_bytes()
    except OSError:  # a package that cannot be read cannot be imported
        return False


def _order(entry: EntryPoint) -> tuple[str, str]:
    return _package(entry), entry.name


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"


def _load(entry: EntryPoint) -> Any:
    """Import the object of an entry point, if its package is for this version and imports no framework."""
    known = _FRAMEWORKS & sys.modules.keys()
    package = entry.module.rpartition(".")[0] or entry.module
    version = getattr(import_module(package), "KLEVER_API", None)
    if version != API_VERSION:
        raise _PluginError(
            f"{package}.KLEVER_API is {version!r}, but this Klever needs {API_VERSION}: install a compatible version"
        )
    row = entry.load()
    if new := (_FRAMEWORKS & sys.modules.keys()) - known:
        raise _PluginError(f"it imports {', '.join(sorted(new))}: only programs in an environment may do that")
    return row


def _check_free(keys: tuple[Hashable, ...], owners: Mapping[Hashable, str]) -> None:
    for key in keys:
        if key in owners:
            name = " to ".join(key) if isinstance(key, tuple) else key
            raise _PluginError(f"{name} already belongs to {owners[key]}")


def _directories(entry: EntryPoint) -> tuple[Path, ...]:
    """Return the directories on sys.path that contain the imported package of an entry point."""
    top = sys.modules[entry.module.partition(".")[0]]
    places = list(getattr(top, "__path__", ())) or [top.__file__ or ""]
    return tuple(Path(place).absolute().parent for place in places)
