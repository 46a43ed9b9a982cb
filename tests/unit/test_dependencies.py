"""The project declares every distribution that its code imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_IN_ENVIRONMENTS = re.compile(r"klever/(runtimes/\w+/files|converters/programs)/")
"""Programs that run in an environment of their own, with its packages."""
_OWN = ("klever", "shim")
"""The shim, which starts without `klever` on its path, is a top-level package to itself."""


def test_every_direct_import_is_declared() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    declared = {_normal(re.split(r"[^\w.-]", line)[0]) for line in project["dependencies"]}
    known = packages_distributions()
    missing = {
        f"{path.relative_to(_ROOT)}: {name}"
        for path in (_ROOT / "klever").rglob("*.py")
        if not _IN_ENVIRONMENTS.match(str(path.relative_to(_ROOT)))
        for name in _imported(path)
        if not declared & {_normal(distribution) for distribution in known.get(name, (name,))}
    }
    assert missing == set()


def _imported(path: Path) -> Iterator[str]:
    """Yield the top-level packages that a module imports, without the standard library and Klever."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in _OWN:
                yield top


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_embedded_platform_does_not_import_the_kubernetes_package() -> None:
    code = "import sys, klever.cmd.up, klever.cmd.embedded; print(*({'kubernetes', 'klever.kube'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "klever.kube\n"
