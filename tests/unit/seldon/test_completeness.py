"""Every field of a manifest is part of the Serving, or reported: an unknown one in any of its objects shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from klever.errors import InvalidError
from klever.seldon.deployment import import_deployment

DATA = Path(__file__).parents[2] / "data" / "seldon"
MARK = "unknownField"
OF_THE_OLD_OBJECT = ("metadata.managedFields", "status")
REPLACED = (".volumeMounts[", ".ports[")
"""The mounts of the model, and the ports of a server that a runtime replaces."""


@pytest.mark.parametrize("name", ["composed.yaml", "header-diversion-sdep.yaml", "operator-list.yaml"])
def test_an_unknown_field_is_never_lost(name: str) -> None:
    document = yaml.safe_load((DATA / name).read_text())
    document = document.get("items", [document])[0]
    lost = [path for path, changed in _marked(document, "") if not _shows(changed, path)]
    assert [path for path in lost if not path.startswith(OF_THE_OLD_OBJECT) and not _is_replaced(path)] == []


def _is_replaced(path: str) -> bool:
    return any(part in path for part in REPLACED)


def _shows(document: Any, path: str) -> bool:
    try:
        serving, reported = import_deployment(document)
    except InvalidError:
        return True
    fields = [violation.field for violation in reported]
    return MARK in str((serving, fields)) or any(path.startswith(field) for field in fields if "[" in field)


def _marked(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield a copy of the document for each of its objects, with an unknown field in that object."""
    if isinstance(value, dict):
        yield path, {**value, MARK: "x"}
        for key, inner in value.items():
            where = f"{path}.{key}" if path else key
            yield from ((at, {**value, key: changed}) for at, changed in _marked(inner, where))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for at, changed in _marked(item, f"{path}[{index}]"):
                yield at, [*value[:index], changed, *value[index + 1 :]]
