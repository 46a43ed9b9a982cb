"""Logs on standard error, one line per record: readable at a terminal, JSON for programs."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["JsonFormatter", "TextFormatter", "add_log_flags", "set_up_logging"]

_OWN: Final = {*vars(logging.makeLogRecord({})), "message", "asctime"}
"""The attributes of every record. Any others are its own fields."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN: Final = re.compile(r"[\w.:/@+-]+")


class JsonFormatter(logging.Formatter):
    """Writes `time` (RFC 3339, UTC), `level`, `logger`, `message`, then the record's own fields and `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Writes `TIME LEVEL LOGGER: MESSAGE NAME=VALUE…` in local time, without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        time = _time(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={_shown(value)}" for name, value in _fields(record).items())
        line = _CONTROL.sub(_escaped, f"{time} {record.levelname:7} {record.name}: {record.getMessage()}{fields}")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def add_log_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="INFO logs changes and failures, DEBUG also calls (default %(default)s)",
    )
    parser.add_argument(
        "--log-format", choices=("text", "json"), help="default: text if standard error is a terminal, else json"
    )


def set_up_logging(args: argparse.Namespace) -> None:
    """Log to standard error according to the flags. Log only problems of libraries."""
    text = args.log_format == "text" or (args.log_format is None and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("klever").setLevel(args.log_level)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _shown(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _escaped(match: re.Match[str]) -> str:
    return repr(match[0])[1:-1]
