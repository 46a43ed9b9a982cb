"""`ormbfile.yaml`: what a hostile one must not cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.artifacts.metadata import ModelMetadata
from klever.artifacts.ormbfile import NAME, read_ormbfile
from klever.errors import InvalidError

LAUGHS = "\n".join(
    [
        "labels:",
        '  l0: &l0 "ha"',
        *(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 30)),
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "x: &x [a]\nmetrics: [{name: *x, value: '1'}]",
        "x: &x {name: a}\nhyperParameters: [*x, *x]",
        "x: &x {inputs: []}\nsignature: *x",
        "x: &x {author: a}\n<<: *x\nformat: ONNX",
        "labels: &labels {more: *labels}",
        "signature: {inputs: [&i {name: x, size: [1], dtype: float32}, *i]}",
        "labels: *nobody",
    ],
)
def test_aliases_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(InvalidError):
        read_ormbfile(tmp_path / NAME)


def test_an_anchor_alone_is_harmless(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("format: &format ONNX")
    assert read_ormbfile(tmp_path / NAME) == ModelMetadata(format="ONNX")


@pytest.mark.parametrize(
    "text", ["a: " * 500, "[" * 500, "labels: " + "{a: " * 300 + "}" * 300, "x" * (1 << 20) + "y", "? " * 500]
)
def test_an_ormbfile_beyond_the_limits_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(InvalidError):
        read_ormbfile(tmp_path / NAME)
