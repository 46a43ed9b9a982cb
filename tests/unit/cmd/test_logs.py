"""Lines of the log, for people and for programs."""

from __future__ import annotations

import json
import logging
import re
import sys

from klever.cmd.logs import JsonFormatter, TextFormatter


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "klever.x", "levelname": "INFO", "msg": message, "created": 1770000000.25})
    made.__dict__.update(fields)
    return made


def test_a_line_for_programs() -> None:
    line = JsonFormatter().format(record("it is\nso", request_id="a-1", ms=1.5, obj=ValueError("v")))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-02-02T02:40:00.250Z", "level": "INFO", "logger": "klever.x", "message": "it is\nso",
        "request_id": "a-1", "ms": 1.5, "obj": "v",
    }  # fmt: skip


def test_a_line_for_people() -> None:
    line = TextFormatter().format(record("it is so", request_id="a-1", error="two words"))
    assert re.fullmatch(r'\d\d:\d\d:00\.250 INFO    klever\.x: it is so request_id=a-1 error="two words"', line)


def test_a_traceback_is_there() -> None:
    try:
        int("here")
    except ValueError:
        failed = record("it failed", exc_info=sys.exc_info())
    assert "ValueError: invalid literal" in TextFormatter().format(failed)
    assert "ValueError: invalid literal" in json.loads(JsonFormatter().format(failed))["traceback"]


def test_outside_text_cannot_forge_lines_or_terminal_codes() -> None:
    line = TextFormatter().format(record("name \x1b[2Ja\n00:00:00.000 INFO    klever.x: all is well"))
    assert "\x1b" not in line
    assert "\n" not in line
    assert r"name \x1b[2Ja\n00:00" in line
