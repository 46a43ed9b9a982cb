"""Plugins of packages that are on sys.path, good and bad."""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from klever.plugins import API_VERSION, Table

GROUP = "klever.tests"
_NUMBERS = itertools.count()
GOOD = f"KLEVER_API = {API_VERSION}\n"


def install(root: Path, package: str, init: str, entries: str, row: str = "ROW = 'first', 'second'\n") -> None:
    """Lay out a package with the module `row` and the metadata of its distribution."""
    (root / package).mkdir()
    (root / package / "__init__.py").write_text(init)
    (root / package / "row.py").write_text(row)
    info = root / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}\n")


def claims(row: Any) -> tuple[str, ...]:
    if not isinstance(row, tuple):
        raise TypeError("expected a tuple")
    return row


def table(**rows: Any) -> Table[str, Any]:
    return Table(GROUP, rows, claims)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_plugin_is_a_row_beside_the_built_in_ones(root: Path) -> None:
    install(root, "plugged_good", GOOD, "one = plugged_good.row:ROW")
    rows = table(built=("built",), lazy="pathlib:Path")
    assert list(rows) == ["built", "lazy", "first"]
    assert (rows["first"], rows["lazy"], len(rows)) == (("first", "second"), Path, 3)
    assert "second" not in rows
    (plugin,) = rows.plugins
    assert (plugin.name, plugin.package, plugin.trouble) == ("one", "plugged_good 1.0", "")
    assert plugin.directories == (root,)


@pytest.mark.parametrize(
    "case",
    [
        ("KLEVER_API = 0\n", "ROW = ('x',)\n", "KLEVER_API is 0"),
        ("", "raise RuntimeError('imported although its version is unknown')\n", "KLEVER_API is None"),
        (GOOD, "import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        (GOOD, "raise SystemExit('no\\nlicense')\n", "SystemExit: no license"),
        (GOOD, "", "has no attribute 'ROW'"),
        (GOOD, "ROW = 1\n", "expected a tuple"),
        (GOOD, "ROW = ('built',)\n", "built already belongs to Klever"),
        (GOOD, "ROW = ('new', 'type')\n", "type already belongs to Klever"),
        (GOOD, "import heavy\nROW = ('x',)\n", "it imports heavy"),
    ],
)
def test_a_plugin_with_something_wrong_is_disabled_alone_with_a_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: tuple[str, str, str]
) -> None:
    init, row, why = case
    (root / "heavy.py").touch()
    monkeypatch.setattr("klever.plugins._FRAMEWORKS", frozenset({"heavy"}))
    number = next(_NUMBERS)  # Python keeps what a test before this one imported
    install(root, f"plugged_bad_{number}", init, f"bad = plugged_bad_{number}.row:ROW", row)
    install(root, f"plugged_fine_{number}", GOOD, f"fine = plugged_fine_{number}.row:ROW")
    with caplog.at_level(logging.WARNING):
        rows = table(built=("built", "type"))
        assert list(rows) == ["built", "first"]
    bad, fine = rows.plugins
    assert why in bad.trouble
    assert "\n" not in bad.trouble
    assert not fine.trouble
    (record,) = caplog.records
    assert bad.package in record.getMessage()
    assert why in record.getMessage()


def test_the_first_plugin_by_name_wins_a_contested_key(root: Path) -> None:
    for package in ("plugged_b", "plugged_a"):
        install(root, package, GOOD, f"one = {package}.row:ROW")
    first, second = table().plugins
    assert (first.package, first.trouble) == ("plugged_a 1.0", "")
    assert second.trouble == "first already belongs to plugged_a 1.0"


def test_a_plugin_that_looks_something_up_while_it_is_imported_finds_the_rows_so_far(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table(built=("built",))
    monkeypatch.setattr("klever.plugins.rows", rows, raising=False)
    row = "from klever.plugins import rows\nROW = ('new', *rows)\n"
    install(root, "plugged_nosy", GOOD, "one = plugged_nosy.row:ROW", row)
    assert [plugin.trouble for plugin in rows.plugins] == ["built already belongs to Klever"]


def test_nothing_is_looked_for_before_the_first_look_up(root: Path) -> None:
    rows = table()
    install(root, "plugged_late", GOOD, "one = plugged_late.row:ROW")
    assert list(rows) == ["first"]


def test_without_plugins_a_look_up_costs_no_import() -> None:
    program = (
        "import sys; from klever.artifacts.dialects import DIALECTS; assert 'ormb' in DIALECTS;"
        "print('importlib.metadata' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
