"""docs/extending.md shows the files of tests/plugin as they are."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_SHOWN = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_guide_shows_the_files_of_the_plugin() -> None:
    shown = dict(_SHOWN.findall((_ROOT / "docs" / "extending.md").read_text()))
    assert len(shown) == 8
    for path, text in shown.items():
        assert text == (_ROOT / "tests" / "plugin" / path).read_text(), f"docs/extending.md shows an older {path}"
