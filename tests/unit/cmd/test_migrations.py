"""The version of a data directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import klever
from klever.cmd.migrations import VERSION, migrate
from klever.errors import FailedPreconditionError, IntegrityError
from klever.routers.state import decode_routes
from klever.traffic.matches import HeaderMatch
from tests.errors import because


def published(root: Path, headers: list[dict[str, str]]) -> Path:
    """Write the routes of a Klever from before data versions."""
    target = {
        "predictor": "main",
        "revision": "r1",
        "protocol": "open-inference",
        "weight": 100,
        "http": ["127.0.0.1:9"],
        "grpc": [],
        "headers": headers,
    }
    path = root / "envoy" / "published.json"
    path.parent.mkdir()
    path.write_text(json.dumps([{"key": {"namespace": "team", "serving": "digits"}, "targets": [target]}]))
    return path


def read(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "version.json").read_text())
    return found


def test_a_new_directory_gets_the_current_version(tmp_path: Path) -> None:
    migrate(tmp_path)
    assert read(tmp_path) == {"version": VERSION, "klever": klever.__version__}


@pytest.mark.parametrize(
    ("headers", "matches"),
    [
        ([], ()),
        ([{"name": "x-user", "value": "me", "type": "exact"}], ((HeaderMatch("x-user", "me"),),)),
    ],
)
def test_published_routes_of_an_older_version_are_migrated(
    tmp_path: Path, headers: list[dict[str, str]], matches: tuple[tuple[HeaderMatch, ...], ...]
) -> None:
    path = published(tmp_path, headers)
    migrate(tmp_path)
    (route,) = decode_routes(path.read_bytes())
    assert (route.targets[0].workload, route.targets[0].matches) == ("r1", matches)
    assert read(tmp_path)["version"] == VERSION


def test_a_migrated_directory_stays_as_it_is(tmp_path: Path) -> None:
    path = published(tmp_path, [])
    migrate(tmp_path)
    path.write_text("changed later")
    migrate(tmp_path)
    assert path.read_text() == "changed later"


def test_a_newer_directory_is_refused_with_both_versions(tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text(json.dumps({"version": VERSION + 1, "klever": "99.1.0"}))
    with pytest.raises(FailedPreconditionError, check=because("DATA_TOO_NEW")) as refused:
        migrate(tmp_path)
    assert "Klever 99.1.0" in refused.value.message
    assert f"Klever {klever.__version__}" in refused.value.message


@pytest.mark.parametrize("content", ["", "{}", '{"version": "new", "klever": "1"}', "[]"])
def test_a_damaged_version_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "version.json").write_text(content)
    with pytest.raises(IntegrityError, check=because("DATA_DAMAGED")):
        migrate(tmp_path)
