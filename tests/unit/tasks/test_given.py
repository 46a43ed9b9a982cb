"""A model that an init container leaves for a conversion."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.errors import InvalidError
from klever.tasks.given import find_given, take_given


@pytest.mark.parametrize("export", ["", "model"])
def test_a_given_model_replaces_the_pulled_one(tmp_path: Path, export: str) -> None:
    given, pulled = tmp_path / "given" / export, tmp_path / "input" / "model"
    given.mkdir(parents=True)
    pulled.mkdir(parents=True)
    (given / "new.onnx").write_text("new")
    (pulled / "old.onnx").write_text("old")
    take_given(tmp_path, pulled)
    assert [path.name for path in pulled.iterdir()] == ["new.onnx"]


def test_an_init_container_that_leaves_nothing_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    assert find_given(tmp_path) is None
    take_given(tmp_path, tmp_path / "absent")


def test_a_given_model_with_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "model.onnx").symlink_to("/etc/klever/task/task.json")
    with pytest.raises(InvalidError, match=r"model.onnx: a model must not contain links"):
        take_given(tmp_path, tmp_path / "input")
