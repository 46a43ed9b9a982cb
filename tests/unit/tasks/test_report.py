"""Reports of conversions that a program did not write as agreed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from klever.errors import InvalidError
from klever.tasks import report

GOOD = {"samples": ["random"], "tolerance": 1e-5, "outputs": {"Z": {"absolute": 0.5, "relative": 0}}, "passed": True}


def test_a_report_is_read(tmp_path: Path) -> None:
    path = tmp_path / report.NAME
    assert report.read(path) == {}
    path.write_text(json.dumps(GOOD))
    assert report.read(path) == GOOD


LOSS = {"absolute": 1, "relative": 0.5, "mean": 0.1, "agreement": 0.99}


@pytest.mark.parametrize(
    ("document", "end"),
    [
        (GOOD, "1 inputs, largest relative difference 0 (Z), tolerance 1e-05"),
        (
            {**GOOD, "tolerance": None, "outputs": {"Z": LOSS}},
            "0.5 (Z), mean 0.1, 99% of rows keep their largest score, no tolerance",
        ),
        ({**GOOD, "outputs": {}, "not_compared": "nothing runs it"}, "nothing runs it"),
    ],
)
def test_a_report_is_summed_up_in_one_line(document: dict[str, Any], end: str) -> None:
    assert report.summarize(report.parse(json.dumps(document).encode())).endswith(end)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"passed": 0}',
        '{"samples": [], "outputs": {"Z": 1}, "passed": true}',
        json.dumps({**GOOD, "passed": False}),
        json.dumps({**GOOD, "samples": [1]}),
        json.dumps({**GOOD, "outputs": {}}),
        json.dumps({**GOOD, "outputs": {"Z": {"absolute": 0.5}}}),
        json.dumps({**GOOD, "outputs": {"Z": {"absolute": True, "relative": 0}}}),
        json.dumps({**GOOD, "tolerance": float("inf")}),
        json.dumps({**GOOD, "tolerance": "1"}),
        json.dumps({**GOOD, "not_compared": 1}),
        json.dumps({**GOOD, "samples": ["\ud800"]}),
        json.dumps({**GOOD, "outputs": {"Z": {"absolute": 0.5, "relative": 0, "mean": "1"}}}),
        json.dumps({**GOOD, "outputs": {"Z" * (1 << 20): {"absolute": 0.5, "relative": 0}}}),
    ],
)
def test_another_document_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / report.NAME
    path.write_text(content)
    with pytest.raises(InvalidError):
        report.read(path)


def test_only_a_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(GOOD))
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(InvalidError):
            report.read(tmp_path / name)
