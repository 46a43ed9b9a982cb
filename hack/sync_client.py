"""The client without asyncio, made from the one with it: the same code, without `async` and `await`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["sync_client"]

_INIT = '"""The client, which `hack/generate` makes from `klever.client.aio`: never edited."""\n'
_CHANGES = (
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\bAsyncGenerator\[(.+), None\]", r"Generator[\1, None, None]"),
    (r"\b(_?)Async([A-Z])", r"\1\2"),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\baclosing\b", "closing"),
    (r"\bopen_async_channel\b", "open_channel"),
    (r"\bklever\.client\.aio\b", "klever.client.sync"),
    (r"\basyncio\b", "time"),
    (r"\bin_thread\((.+?), ", r"\1("),
    (r"^from klever\.client\.threads import .*\n", ""),
)


def sync_client(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and text of each module of the client without asyncio. `source` is the folder of the other."""
    for path in sorted(source.glob("*.py")):
        yield path.name, _INIT if path.name == "__init__.py" else _converted(path.read_text())


def _converted(text: str) -> str:
    for pattern, replacement in _CHANGES:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text.replace("import time\nimport time\n", "import time\n")
