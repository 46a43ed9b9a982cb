"""`klever history serving/NAME`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

from klever.api.codec import to_object
from klever.api.text import parse_time
from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_output, add_server
from klever.cli.commands.output import print_objects, print_table, seconds, serializes
from klever.cli.commands.stored import SERVINGS
from klever.cli.commands.targets import add_target, read_name
from klever.errors import InvalidError

EXAMPLES = """  klever history serving digits
  klever history serving digits --at 2026-01-31T12:00:00Z    (what served then)
  klever history serving digits --at 10m                     (what served ten minutes ago)
  klever history serving digits -o yaml                      (whole specs, with digests)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "serving")
    parser.add_argument("--at", default="", metavar="TIME", help="only what served at this time, or so long ago")
    add_output(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    name = read_name(args, SERVINGS)
    revisions = [to_object(r) for r in connect(args).servings.revisions(name)]
    if args.at:
        time = _time(args.at)
        revisions = [r for r in revisions if any(_contains(i, time) for i in _served(r))]
    if serializes(args.output):
        print_objects(revisions, args.output, single=False)
    elif revisions:
        print_table(("REVISION", "SERVED", "MODELS", "AUTHOR"), map(_row, revisions))
    else:
        print(f"no revision of serving {name} served at {args.at}" if args.at else "none: it was never Ready")
    return 0


def _row(revision: dict[str, Any]) -> tuple[object, ...]:
    spec = revision["spec"]
    models = {m["predictor"]: m["digest"][:19] for m in spec.get("models", ())}
    told = [_model(p, models.get(p["name"], "")) for p in spec["template"]["predictors"]]
    last = _served(revision)[-1:] or [{}]
    when = f"{last[0].get('startTime', '')} - {last[0].get('endTime') or 'now'}" if last[0] else ""
    return spec["number"], when, " ".join(told), spec.get("author", "")


def _model(predictor: dict[str, Any], digest: str) -> str:
    own = predictor.get("image") or " ".join(predictor.get("command", ()))[:40]
    model = predictor.get("model", "").partition("@")[0] or own
    return f"{predictor['name']}={model}{f'@{digest}' if digest else ''}"


def _served(revision: dict[str, Any]) -> list[dict[str, str]]:
    intervals: list[dict[str, str]] = revision.get("status", {}).get("served", [])
    return intervals


def _time(text: str) -> datetime:
    """Return the time of a text: RFC 3339, or an age such as 10m. Raises `InvalidError`."""
    try:
        return parse_time(text)
    except ValueError:
        pass
    try:
        return datetime.now(UTC) - timedelta(seconds=seconds(text))
    except (InvalidError, OverflowError) as error:
        raise InvalidError(
            f"invalid time {text!r}: expected a time such as 2026-01-31T12:00:00Z, or an age such as 10m"
        ) from error


def _contains(interval: dict[str, str], time: datetime) -> bool:
    end = interval.get("endTime")
    return parse_time(interval["startTime"]) <= time and (not end or time < parse_time(end))
