"""The plugins of this installation, from all tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from klever.artifacts.dialects import DIALECTS
from klever.converters.table import CONVERTERS
from klever.environments import ENVIRONMENTS
from klever.formats import FORMATS
from klever.plugins import Plugin, Table
from klever.runtimes.table import RUNTIMES

__all__ = ["find_plugins", "log_plugins", "plugin_directories"]

log = logging.getLogger(__name__)

_TABLES: Final[tuple[Table[Any, Any], ...]] = (FORMATS, ENVIRONMENTS, CONVERTERS, RUNTIMES, DIALECTS)


def find_plugins() -> Iterator[Plugin]:
    """Load every plugin. Yield them all, including disabled ones."""
    for table in _TABLES:
        yield from table.plugins


def log_plugins() -> None:
    """Load every plugin, and log those in use. The tables log warnings for the others."""
    for plugin in find_plugins():
        if not plugin.trouble:
            log.info("plugin %s of %s is in use (group %s)", plugin.name, plugin.package, plugin.group)


def plugin_directories() -> tuple[Path, ...]:
    """Return the directories of the plugins in use, each once."""
    return tuple(dict.fromkeys(directory for plugin in find_plugins() for directory in plugin.directories))
