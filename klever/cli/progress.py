"""Shows the progress of transfers and waits on standard error, at a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from klever.cli.terminal import escaped

__all__ = ["bytes_progress", "status_line"]


@contextmanager
def bytes_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback for (bytes done, total bytes). It shows nothing without a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def status_line(title: str) -> Iterator[Callable[[str], None]]:
    """Yield a callback for the state. It updates one line, which disappears at the end; nothing without a terminal."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich import progress
    from rich.console import Console
    from rich.table import Column

    one_line = Column(no_wrap=True, overflow="ellipsis")
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False, table_column=one_line),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as line:
        task = line.add_task(title, total=None)
        yield lambda text: line.update(task, description=escaped(" ".join(f"{title}: {text}".split())))
